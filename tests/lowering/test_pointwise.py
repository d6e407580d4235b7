"""Elementwise chains over parts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import tvm
from torch import nn
from torch.nn import functional

from loopwright.lowering.epilogue import Epilogue
from loopwright.lowering.layout import from_blocked, to_blocked
from loopwright.lowering.network import compile_network
from loopwright.lowering.pointwise import build_pointwise
from loopwright.models.trace import trace
from loopwright.targets.cpu import cpu


@pytest.mark.parametrize("channels", [(32,), (16, 32), (24, 12), (5, 32), (12, 12, 24), (1, 16, 3)])
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (33, 20)])
def test_parts_are_joined_scaled_shifted_added_and_cut_off(channels, size):
    target, epilogue, whole = cpu(2), Epilogue(scale=True, shift=True, residual=True, relu=True), sum(channels)
    random = np.random.default_rng(0)
    parts = [random.standard_normal((2, own, *size), dtype="float32") for own in channels]
    scale, shift = random.standard_normal((2, whole), dtype="float32")
    residual = random.standard_normal((2, whole, *size), dtype="float32")
    expected = np.maximum(np.concatenate(parts, 1) * scale[:, None, None] + shift[:, None, None] + residual, 0)
    images = [to_blocked(array, target.vector_lanes) for array in (*parts, residual, np.zeros_like(residual))]
    arguments = [*images[:-2], scale, shift, *images[-2:]]
    function = build_pointwise(channels, 2, size, epilogue, target).with_attr("global_symbol", "main")
    tensors = [tvm.runtime.tensor(argument) for argument in arguments]
    tvm.compile(function, tvm.target.Target(target.tvm_target))["main"](*tensors)
    np.testing.assert_allclose(from_blocked(tensors[-1].numpy()), expected, rtol=1e-5, atol=1e-6)


def densely(first: int, growth: int, follow):
    """A network that concatenates its input's features with new ones, and what ``follow`` makes of the result."""

    class Dense(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.new = nn.Conv2d(3, first, 3, padding=1), nn.Conv2d(first, growth, 1)
            self.norm, self.last = nn.BatchNorm2d(first + growth), nn.Conv2d(first + growth, 8, 1)

        def forward(self, images):
            x = self.stem(images)
            return follow(self, x, self.new(x))

    torch.manual_seed(0)
    module = Dense()
    module(torch.randn(2, 3, 8, 8))
    nn.init.uniform_(module.norm.weight, 0.5, 2)
    return module.eval()


def nested(_m, _x, new):
    y = new
    for _ in range(12):
        y = torch.cat([functional.relu(new), y], 1)
    return functional.relu(y)


def reused(m, x, new):
    both = torch.cat([new, x], 1)
    return m.last(both), functional.max_pool2d(both, 2), functional.relu(m.norm(both))


FOLLOW = {
    "pre-activation": lambda m, x, new: m.last(functional.relu(m.norm(torch.cat([new, x], 1)))),
    "old first": lambda m, x, new: m.last(functional.relu(m.norm(torch.cat([x, new], 1)))),
    "concatenation twice": lambda m, x, new: functional.relu(torch.cat([torch.cat([new, x], 1), x], 1)),
    "nested and used": lambda m, x, new: m.last(torch.cat([x, new], 1)).mean((2, 3)),
    "nested deeply": nested,
    "used three times": reused,
    "added": lambda m, x, new: functional.relu(torch.cat([x, new], 1) + torch.cat([new, x], 1)),
    "added to itself": lambda m, x, new: m.norm(torch.cat([x, x, new], 1)[:, x.shape[1] :]) + 1,
    "after pooling": lambda m, x, new: functional.relu(m.norm(functional.avg_pool2d(torch.cat([x, new], 1), 2))),
    "with the images": lambda m, x, new: functional.relu(torch.cat([x, new, x.sigmoid()], 1)).flatten(1),
    "other axes": lambda m, x, new: functional.relu(torch.cat([torch.cat([x, x], 2), torch.cat([x, x], -2)], 3)),
}


@pytest.mark.parametrize("follow", FOLLOW.values(), ids=FOLLOW)
@pytest.mark.parametrize(("first", "growth"), [(32, 16), (24, 12), (5, 16)])
def test_networks_of_concatenations_equal_pytorch(follow, first, growth):
    module = densely(first, growth, follow)
    x = torch.randn(1, 3, 8, 8)
    results = compile_network(trace(module, x), module, cpu(2))(x.numpy())
    with torch.no_grad():
        expected = module(x)
    pairs = zip(results, expected, strict=True) if isinstance(expected, tuple) else [(results, expected)]
    for result, own in pairs:
        np.testing.assert_allclose(result, own.numpy(), rtol=1e-4, atol=1e-4)


def test_network_without_convolutions_equals_pytorch():
    module = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(48, 5)).eval()
    x = torch.randn(1, 3, 8, 8)
    with torch.no_grad():
        expected = module(x).numpy()
    np.testing.assert_allclose(compile_network(trace(module, x), module, cpu(2))(x.numpy()), expected, atol=1e-4)
