from __future__ import annotations

import pytest
import torch
from torch import nn

from loopwright.errors import ArgumentError
from loopwright.ir.contraction import OperatorForm, operator_form
from loopwright.lowering.torch_module import OperatorModule
from loopwright.lowering.transformed import transformed
from loopwright.models.trace import trace
from loopwright.operators.conv2d import Conv2d
from loopwright.transformations import TransformationSequence


class Aliased(nn.Module):
    """A convolution under two names, and one that is called twice."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(4, 8, 3, padding=1)
        self.again = self.first
        self.twice = nn.Conv2d(8, 8, 1)

    def forward(self, x):
        return self.twice(self.twice(self.again(x)))


@pytest.fixture
def network():
    return trace(Aliased(), torch.zeros(1, 4, 6, 6))


def grouped(operator: Conv2d) -> OperatorForm:
    return operator_form(TransformationSequence.parse("group(co, ci, 2)").apply(operator.nest()))


def test_layer_is_replaced_under_all_its_names(network):
    (layer,) = network.transformable
    module = transformed(network, {layer.name: grouped(layer.operator)})
    assert isinstance(module.first, OperatorModule)
    assert isinstance(module.again, OperatorModule)
    assert module.first is module.again


def test_original_is_left_alone(network):
    (layer,) = network.transformable
    before = [parameter.clone() for parameter in network.module.parameters()]
    module = transformed(network, {layer.name: grouped(layer.operator)})
    assert type(network.module.first) is nn.Conv2d
    assert module.twice.weight is not network.module.twice.weight
    assert all(map(torch.equal, network.module.parameters(), before))


def test_without_forms_it_is_a_copy(network):
    x = torch.randn(1, 4, 6, 6, generator=torch.Generator().manual_seed(0))
    assert torch.equal(transformed(network, {})(x), network.module(x))


def test_layer_that_is_called_twice_is_refused(network):
    operator = network.layer("twice").operator
    with pytest.raises(ArgumentError, match="layer 'twice' can't be transformed: its weight is used by 2 calls"):
        transformed(network, {"twice": grouped(operator)})
