"""Small networks and what transformations make of them, for the tests of the checks."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn import functional

from loopwright.ir.contraction import OperatorForm, operator_form
from loopwright.lowering.torch_module import OperatorModule
from loopwright.models.network import Network
from loopwright.operators import parse
from loopwright.transformations import TransformationSequence


class SmallNet(nn.Module):
    """Convolution, residual block, strided convolution, pooling, classifier: (N, 3, 16, 16) -> (N, classes)."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.inner = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.down = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.dropout = nn.Dropout(0.5)
        self.linear = nn.Linear(16, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.norm(self.stem(x)))
        x = functional.relu(self.inner(x) + x)
        return self.linear(self.dropout(functional.relu(self.down(x)).mean((2, 3))))


def form_of(operator: str, sequence: str) -> OperatorForm:
    return operator_form(TransformationSequence.parse(sequence).apply(parse(operator).nest()))


def forms_of(network: Network, sequence: str, kernel: int = 3) -> dict[str, OperatorForm]:
    """The sequence at every transformable convolution of that kernel size but the first layer."""
    layers = [layer for layer in network.transformable[1:] if layer.operator.kh == kernel]
    return {
        layer.name: operator_form(TransformationSequence.parse(sequence).apply(layer.operator.nest()))
        for layer in layers
    }


def replaced(module: nn.Module, forms: dict[str, OperatorForm]) -> nn.Module:
    """A copy of ``module`` whose convolutions compute ``forms``."""
    changed = copy.deepcopy(module)
    for name, form in forms.items():
        parent, _, leaf = name.rpartition(".")
        setattr(changed.get_submodule(parent), leaf, OperatorModule.from_conv(form, module.get_submodule(name)))
    return changed
