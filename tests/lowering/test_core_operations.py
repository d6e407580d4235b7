"""Rewriting a program to core operations gives what PyTorch's own decompositions give."""

from __future__ import annotations

import pytest
import torch
import tvm
from torch import nn
from torch.nn import functional

from loopwright.lowering import relax_import
from loopwright.lowering.core_operations import over_core_operations
from loopwright.lowering.relax_import import import_network
from loopwright.models import sources
from loopwright.models.network import Network
from loopwright.models.trace import trace


class After(nn.Module):
    """A convolution and batch norm, then ``function``."""

    def __init__(self, function):
        super().__init__()
        self.first, self.norm, self.function = nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8, eps=0.5), function
        self.last = nn.Linear(8, 5)

    def forward(self, x):
        return self.function(self, self.norm(self.first(x)))


def network_of(function) -> Network:
    return trace(After(function), torch.zeros(2, 3, 17, 17))


def assert_the_same(network: Network, monkeypatch) -> None:
    """Both ways come to the same function of Relax."""
    assert over_core_operations(network.program) is not None
    rewritten = import_network(network, network.module)
    monkeypatch.setattr(relax_import, "_DECOMPOSED", {})
    monkeypatch.setattr(relax_import, "over_core_operations", lambda _: None)
    by_pytorch = import_network(network, network.module)
    tvm.ir.assert_structural_equal(rewritten.function, by_pytorch.function)
    assert list(rewritten.parameters) == list(by_pytorch.parameters)


@pytest.mark.parametrize("name", ["resnet34", "resnext29_2x64d", "densenet161"])
def test_networks_known_by_name(name, monkeypatch):
    source = sources.registered()[name]
    assert_the_same(trace(source.build(0), torch.zeros(source.input_shape), name), monkeypatch)


@pytest.mark.parametrize(
    "function",
    [
        lambda _, x: functional.relu_(x),
        lambda _, x: (functional.relu_(x) + x, x),
        lambda _, x: functional.hardtanh_(functional.relu(x).add_(1.5), -0.5, 2.0),
        lambda _, x: functional.relu(x).add_(x) + x,
        lambda _, x: functional.max_pool2d(x, 3, 2, 1, ceil_mode=True),
        lambda _, x: functional.max_pool2d(x, 2),
        lambda _, x: functional.avg_pool2d(x, 3, padding=1, count_include_pad=False),
        lambda own, x: own.last(functional.dropout(functional.adaptive_avg_pool2d(x, 1).flatten(1), 0.5, False)),
        lambda _, x: torch.cat([x, x.relu()], 1).flatten(2, 3),
    ],
)
def test_operations(function, monkeypatch):
    assert_the_same(network_of(function), monkeypatch)


@pytest.mark.parametrize(
    "function",
    [
        lambda _, x: x + functional.relu_(x.flatten(1)).view_as(x),
        lambda _, x: functional.relu_(functional.dropout(x, 0.5, False)),
        lambda _, x: functional.avg_pool2d(x, 2, divisor_override=3),
        lambda _, x: functional.max_pool2d(x, 2, dilation=2),
        lambda _, x: functional.adaptive_avg_pool2d(x, 2),
        lambda own, x: own.last(x.permute(0, 2, 3, 1)),
        lambda own, x: functional.linear(x.mean((2, 3)), own.last.weight),
        lambda _, x: functional.batch_norm(x, torch.zeros(8), torch.ones(8)),
        lambda _, x: functional.gelu(x),
        lambda _, x: functional.relu(x).add_(x, alpha=3),
        lambda _, x: torch.add(x, x.relu(), alpha=3),
        lambda own, x: own.first(functional.pad(x, (8, 8, 8, 8))[0, :3]),
    ],
)
def test_what_has_to_be_decomposed_is_left_to_pytorch(function):
    assert over_core_operations(network_of(function).program) is None


def test_the_traced_program_stays_as_it_is():
    network = network_of(lambda _, x: functional.relu_(x))
    before = str(network.program.graph)
    assert over_core_operations(network.program) is not None
    assert str(network.program.graph) == before
