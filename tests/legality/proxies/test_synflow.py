from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from loopwright.legality.proxies.synflow import SynFlow
from loopwright.models.images import Minibatch, load_minibatch
from loopwright.models.seeding import seeded
from tests.legality.networks import SmallNet


@pytest.fixture(scope="module")
def minibatch() -> Minibatch:
    return load_minibatch(None, 4, 0, (1, 3, 8, 8))


class Normalised(nn.Module):
    """With batch norm as a module and as a function, or without either."""

    def __init__(self, normalised: bool) -> None:
        super().__init__()
        self.conv, self.more, self.linear = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.Linear(4, 10)
        self.norm = nn.BatchNorm2d(4) if normalised else nn.Identity()
        self.normalised = normalised

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.norm(self.conv(x)))
        x = self.more(x)
        x = functional.batch_norm(x, None, None, training=True) if self.normalised else x
        return self.linear(x.relu().mean((2, 3)))


def test_batch_norms_are_left_out(minibatch: Minibatch):
    with seeded(0):
        plain = Normalised(False)
    normalised = Normalised(True)
    normalised.load_state_dict(plain.state_dict(), strict=False)
    nn.init.constant_(normalised.norm.weight, 7.0)
    assert SynFlow().score(normalised, minibatch) == SynFlow().score(plain, minibatch)


def test_signs_and_values_of_the_images_make_no_difference(minibatch: Minibatch):
    with seeded(0):
        module = SmallNet()
    score = SynFlow().score(module, minibatch)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.neg_()
    others = Minibatch.of(-2 * minibatch.images, minibatch.labels, "others")
    assert SynFlow().score(module, others) == score


def test_a_network_without_a_path_scores_minus_infinity(minibatch: Minibatch):
    module = SmallNet()
    nn.init.zeros_(module.down.weight)
    nn.init.zeros_(module.down.bias)
    assert SynFlow().score(module, minibatch) == -np.inf


def test_deep_networks_do_not_overflow(minibatch: Minibatch):
    layers = [layer for _ in range(60) for layer in (nn.Conv2d(64, 64, 3, padding=1), nn.ReLU())]
    deep = nn.Sequential(nn.Conv2d(3, 64, 1), *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    score = SynFlow().score(deep, minibatch)
    assert np.isfinite(score)
    assert np.exp(score) > np.finfo(np.float32).max
