from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from loopwright.errors import ArgumentError
from loopwright.legality.proxies.naswot import Naswot
from loopwright.models.images import Minibatch, load_minibatch
from loopwright.models.seeding import seeded

Rectifier = Callable[[torch.Tensor], torch.Tensor]

RECTIFIERS: dict[str, Rectifier] = {
    "function": functional.relu,
    "function, in place": lambda x: functional.relu(x, inplace=True),
    "module": nn.ReLU(),
    "module, in place": nn.ReLU(inplace=True),
    "method": lambda x: x.relu(),
    "method, in place": lambda x: x.relu_(),
    "torch.relu": torch.relu,
    "relu6": functional.relu6,
    "relu6 module, in place": nn.ReLU6(inplace=True),
    "clamp": lambda x: x.clamp(min=0),
    "clamp_min": lambda x: x.clamp_min(0),
    "clamp between bounds": lambda x: torch.clamp(x, 0, 6),
    "threshold": nn.Threshold(0, 0),
    "leaky_relu": nn.LeakyReLU(0.1),
    "prelu": nn.PReLU(),
}

OTHERS: dict[str, Rectifier] = {
    "clamp from above": lambda x: x.clamp(max=1.0),
    "hardtanh": functional.hardtanh,
    "gelu": functional.gelu,
    "none": lambda x: x,
}


class Net(nn.Module):
    def __init__(self, rectifier: Rectifier) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.linear = nn.Linear(4, 10)
        self.rectifier = rectifier

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(self.rectifier(self.conv(x)).mean((2, 3)))


@pytest.fixture(scope="module")
def minibatch() -> Minibatch:
    return load_minibatch(None, 6, 0, (1, 3, 8, 8))


def net(rectifier: Rectifier) -> Net:
    with seeded(0):
        return Net(rectifier)


@pytest.mark.parametrize("rectifier", RECTIFIERS.values(), ids=RECTIFIERS)
def test_units_are_found_however_they_are_written(rectifier: Rectifier, minibatch: Minibatch):
    module = net(rectifier)
    codes = (module.conv(torch.from_numpy(minibatch.images)) > 0).flatten(1).numpy()
    kernel = [[float((one == other).sum()) for other in codes] for one in codes]
    assert Naswot().score(module, minibatch) == pytest.approx(np.linalg.slogdet(kernel)[1], rel=1e-6)


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_a_network_without_rectified_linear_units_is_refused(other: Rectifier, minibatch: Minibatch):
    with pytest.raises(ArgumentError, match="the network has no rectified linear units"):
        Naswot().score(net(other), minibatch)


def test_images_with_one_code_give_minus_infinity(minibatch: Minibatch):
    twice = Minibatch.of(minibatch.images[[0, 0]], minibatch.labels[[0, 0]], "the same image twice")
    assert Naswot().score(net(functional.relu), twice) == -np.inf
