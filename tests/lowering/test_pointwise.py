"""Elementwise kernels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import tvm
from torch import nn

from loopwright.lowering.epilogue import Epilogue
from loopwright.lowering.layout import Channels, from_blocked, to_blocked
from loopwright.lowering.network import compile_network
from loopwright.lowering.pointwise import build_pointwise
from loopwright.measurement.build import compile_function
from loopwright.models.trace import trace
from loopwright.targets.cpu import cpu


@pytest.mark.parametrize(
    ("channels", "read", "written"),
    [
        (32, Channels(32), Channels(32)),
        (48, Channels(96, 16), Channels(144, 96)),
        (16, Channels(48, 8), Channels(24, 4)),
        (5, Channels(7, 2), Channels(5)),
        (12, Channels(12), Channels(30, 18)),
    ],
)
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (33, 20)])
def test_channels_are_scaled_shifted_added_and_cut_off(channels, read, written, size):
    target, epilogue = cpu(2), Epilogue(scale=True, shift=True, residual=True, relu=True)
    random = np.random.default_rng(0)
    x, out = (random.standard_normal((2, own.whole, *size), dtype="float32") for own in (read, written))
    scale, shift = random.standard_normal((2, channels), dtype="float32")
    residual = random.standard_normal((2, channels, *size), dtype="float32")
    source = x[:, read.first :][:, :channels]
    expected = out.copy()
    expected[:, written.first :][:, :channels] = np.maximum(
        source * scale[:, None, None] + shift[:, None, None] + residual, 0
    )
    x, residual, out = (to_blocked(array, target.vector_lanes) for array in (x, residual, out))
    function = build_pointwise(read, written, (channels, *size), 2, epilogue, target)
    tensors = [tvm.runtime.tensor(argument) for argument in (x, scale, shift, residual, out)]
    compile_function(function.with_attr("global_symbol", "main"), target)(*tensors)
    np.testing.assert_allclose(from_blocked(tensors[-1].numpy()), expected, rtol=1e-5, atol=1e-6)


def test_network_without_convolutions_equals_pytorch():
    module = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(48, 5)).eval()
    x = torch.randn(1, 3, 8, 8)
    with torch.no_grad():
        expected = module(x).numpy()
    np.testing.assert_allclose(compile_network(trace(module, x), module, cpu(2))(x.numpy()), expected, atol=1e-4)
