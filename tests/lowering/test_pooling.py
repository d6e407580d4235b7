"""Poolings in blocked layout."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from loopwright.lowering.network import compile_network
from loopwright.models.trace import trace
from loopwright.targets.cpu import cpu

POOLINGS = {
    "max": nn.MaxPool2d(2),
    "max, padded": nn.MaxPool2d(3, 2, 1),
    "max, overlapping": nn.MaxPool2d(3, 1, 1),
    "max, one element": nn.MaxPool2d(1),
    "max, one element in two": nn.MaxPool2d(1, 2),
    "max, ceil": nn.MaxPool2d(3, 2, 1, ceil_mode=True),
    "max, ceil, last window dropped": nn.MaxPool2d(2, 3, 1, ceil_mode=True),
    "max, dilated": nn.MaxPool2d(3, 2, 1, dilation=2),
    "max, rows and columns": nn.MaxPool2d((1, 5), (2, 3), (0, 2)),
    "mean": nn.AvgPool2d(2),
    "mean, padded": nn.AvgPool2d(3, 2, 1),
    "mean, padded, of what is inside": nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    "mean, ceil": nn.AvgPool2d(3, 2, ceil_mode=True),
    "mean, ceil, padded": nn.AvgPool2d(4, 3, 2, ceil_mode=True),
    "mean, ceil, padded, of what is inside": nn.AvgPool2d(4, 3, 2, ceil_mode=True, count_include_pad=False),
    "global": nn.AdaptiveAvgPool2d(1),
    "adaptive": nn.AdaptiveAvgPool2d((3, 2)),
    "adaptive, equal windows": nn.AdaptiveAvgPool2d((11, 4)),
}


def assert_agrees(module: nn.Module, x: torch.Tensor) -> None:
    with torch.no_grad():
        expected = module(x).numpy()
    found = compile_network(trace(module, x), module, cpu(2))(x.numpy())
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", POOLINGS)
def test_pooling_equals_pytorch(name):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 32, 1), POOLINGS[name]).eval()
    assert_agrees(module, torch.randn(2, 3, 11, 12) - 3)


@pytest.mark.parametrize("channels", [1, 5, 24])
@pytest.mark.parametrize("size", [(1, 1), (4, 7), (40, 56)])
def test_any_channels_and_sizes(channels, size):
    torch.manual_seed(0)
    pools = nn.Sequential(nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(3, 1, 1), nn.AdaptiveAvgPool2d(1))
    assert_agrees(nn.Sequential(nn.Conv2d(3, channels, 1), *pools).eval(), torch.randn(1, 3, *size))


MEANS = {
    "rows and columns": lambda x: x.mean((2, 3)),
    "counted from the end": lambda x: x.mean((-1, -2), keepdim=True),
    "then an activation": lambda x: torch.tanh(x.mean((2, 3))),
    "then a sum": lambda x: x.mean((2, 3)) + x.mean((2, 3)).mean(1, keepdim=True),
    "channels": lambda x: x.mean(1),
    "columns": lambda x: x.mean(3),
    "everything": lambda x: x.mean((1, 2, 3)),
}


@pytest.mark.parametrize("follow", MEANS.values(), ids=MEANS)
def test_means_equal_pytorch(follow):
    class Mean(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 24, 1)

        def forward(self, x):
            return follow(self.conv(x))

    torch.manual_seed(0)
    assert_agrees(Mean().eval(), torch.randn(2, 3, 5, 6))
