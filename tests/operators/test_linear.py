"""Linear layers against PyTorch's."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from loopwright.errors import ArgumentError
from loopwright.ir.contraction import operator_form
from loopwright.lowering.torch_module import OperatorModule
from loopwright.operators import parse
from loopwright.transformations import TransformationSequence
from tests.operators.reference import assert_nest_is


@pytest.mark.parametrize("text", ["linear(co=4, ci=6)", "linear(n=3, co=4, ci=5, tokens=7)"])
def test_the_nest_is_pytorchs_operator(text: str) -> None:
    assert_nest_is(parse(text), lambda _, x, weight: functional.linear(x, weight))


def test_every_extent_must_be_given() -> None:
    with pytest.raises(ArgumentError, match="linear needs ci=..., a positive integer"):
        parse("linear(co=4)")


def test_a_module_adds_its_bias_to_the_channels() -> None:
    form = operator_form(parse("linear(co=4, ci=6, tokens=5)").nest())
    module = OperatorModule(form, (4, 6), bias=True)
    module.bias.data = torch.arange(4.0)
    assert torch.equal(module(torch.zeros(2, 5, 6)), torch.arange(4.0).expand(2, 5, 4))


def test_a_projected_module_has_a_bias_for_every_channel() -> None:
    nest = parse("linear(co=4, ci=6, tokens=5)").nest()
    form = operator_form(TransformationSequence.parse("bottleneck(co, 4, complete=project)").apply(nest))
    module = OperatorModule(form, (4, 6), bias=True)
    assert module(torch.zeros(2, 5, 6)).shape == (2, 5, 4)
    assert sorted(tuple(parameter.shape) for parameter in module.parameters()) == [(4,), (4,), (6,)]


def test_groups_halve_weights_and_work() -> None:
    nest = parse("linear(co=4, ci=8, tokens=6)").nest()
    changed = TransformationSequence.parse("group(co, ci, 2)").apply(nest)
    assert (changed.parameters, changed.macs) == (16, 96)
