from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from loopwright.lowering.constants import Constants
from loopwright.lowering.epilogue import Epilogue
from loopwright.lowering.fusion import Fusion
from loopwright.lowering.relax_import import import_network
from loopwright.models.trace import trace


class Block(nn.Module):
    """A convolution with batch norm, followed by what a test says."""

    def __init__(self, follow):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
        self.follow = follow

    def forward(self, x):
        return self.follow(x, self.conv(x), self.bn)


def epilogues(follow) -> list[Epilogue]:
    module = Block(follow)
    nn.init.constant_(module.bn.weight, 2.0)
    imported = import_network(trace(module, torch.zeros(1, 4, 5, 5)), module)
    constants = Constants(imported.function.params[1:], imported.parameters)
    bindings = [binding for binding in imported.bindings if not constants.fold(binding)]
    return [chain.epilogue for chain in Fusion(bindings, constants, imported.output).chains.values()]


@pytest.mark.parametrize(
    ("follow", "expected"),
    [
        (lambda x, y, bn: y, Epilogue(shift=True)),
        (lambda x, y, bn: bn(y), Epilogue(scale=True, shift=True)),
        (lambda x, y, bn: functional.relu(bn(y)), Epilogue(scale=True, shift=True, relu=True)),
        (lambda x, y, bn: functional.relu(x + bn(y)), Epilogue(scale=True, shift=True, residual=True, relu=True)),
        (lambda x, y, bn: bn(functional.relu(y)), Epilogue(shift=True, relu=True)),
        (lambda x, y, bn: functional.relu6(bn(y)), Epilogue(scale=True, shift=True, relu=True, at_most=6.0)),
        (
            lambda x, y, bn: functional.hardtanh(x + y, 0, 3),
            Epilogue(shift=True, residual=True, relu=True, at_most=3.0),
        ),
        (lambda x, y, bn: torch.clamp(y, min=0), Epilogue(shift=True, relu=True)),
        (lambda x, y, bn: functional.hardtanh(y), Epilogue(shift=True)),
        (lambda x, y, bn: functional.relu6(functional.relu(y)), Epilogue(shift=True, relu=True)),
        (lambda x, y, bn: bn(y + x), Epilogue(shift=True, residual=True)),
        (lambda x, y, bn: functional.relu(y) + y, Epilogue(shift=True)),
        (lambda x, y, bn: y + y, Epilogue(shift=True)),
        (lambda x, y, bn: (y, functional.relu(y)), Epilogue(shift=True)),
        (lambda x, y, bn: y + x[:, :, :1], Epilogue(shift=True)),
    ],
)
def test_what_a_convolution_takes_into_its_kernel(follow, expected):
    assert epilogues(follow) == [expected]
