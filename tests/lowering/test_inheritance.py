"""Weights go from one changed network to another, element by element."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from loopwright.ir.contraction import operator_form
from loopwright.lowering.inheritance import inherit
from loopwright.lowering.transformed import transformed
from loopwright.models.network import Network
from loopwright.models.trace import trace
from loopwright.transformations import TransformationSequence


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    return trace(nn.Sequential(nn.Conv2d(4, 8, 3, padding=1)), torch.zeros(1, 4, 6, 6))


def changed(network: Network, text: str) -> nn.Module:
    nest = TransformationSequence.parse(text).apply(network.transformable[0].operator.nest())
    return transformed(network, {"0": operator_form(nest)})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("group(co, ci, 2)", " -> bottleneck(g, 2)"),
        ("partition(ci, 2) -> on s0: bottleneck(co, 2)", " -> on s1: bottleneck(co, 2)"),
        ("split(oh, 3) -> untie(oh_outer)", " -> bottleneck(co, 2)"),
        ("unroll(co, 2) -> on s1: group(co, ci, 2)", " -> on s1: bottleneck(g, 2)"),
    ],
)
def test_the_outputs_that_both_compute_are_equal(network: Network, before: str, after: str) -> None:
    source, module = changed(network, before), changed(network, before + after)
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.normal_()
        inherit(module, source)
        x = torch.randn(2, 4, 6, 6)
        assert torch.allclose(module(x)[:, :2], source(x)[:, :2], atol=1e-5)
    assert sum(p.numel() for p in module.parameters()) < sum(p.numel() for p in source.parameters())


def test_a_convolution_gives_its_weights_as_they_are(network: Network) -> None:
    module = changed(network, "bottleneck(ci, 2) -> bottleneck(co, 2)")
    inherit(module, network.module)
    weight = network.module.get_submodule("0").weight
    assert torch.equal(module.get_parameter("0.weight_0"), weight[:4, :2])


def test_a_projection_is_inherited_too(network: Network) -> None:
    source = changed(network, "bottleneck(co, 2, complete=project)")
    with torch.no_grad():
        source.get_parameter("0.then.weight_0").normal_()
    module = changed(network, "bottleneck(co, 2, complete=project)")
    inherit(module, source)
    x = torch.randn(2, 4, 6, 6)
    assert torch.equal(module(x), source(x))
