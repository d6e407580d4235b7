"""The other kernels of a network on a GPU: poolings and what happens to each element alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from loopwright.lowering.epilogue import Epilogue
from loopwright.lowering.layout import Channels, from_blocked, to_blocked
from loopwright.lowering.pointwise import build_pointwise
from loopwright.lowering.pooling import Pooling, Windows, build_pooling
from loopwright.targets.cuda import cuda
from tests.lowering.cuda.on_host import on_host

TARGET = cuda("sm_90")
BLOCK = TARGET.activation_block


@pytest.mark.parametrize("channels", [48, 10])
@pytest.mark.parametrize("mean", [False, True])
def test_a_pooling_equals_pytorch(mean: bool, channels: int, tmp_path: Path):
    x = np.random.default_rng(0).standard_normal((2, channels, 7, 8)).astype(np.float32)
    pooling = Pooling(Windows(7, 4, 3, stride=2, before=1, after=1), Windows(8, 4, 3, 2, 1, 1), mean)
    given = torch.from_numpy(x)
    expected = functional.max_pool2d(given, 3, 2, 1)
    if mean:
        expected = functional.avg_pool2d(given, 3, 2, 1, count_include_pad=False)
    stored, out = to_blocked(x, BLOCK), to_blocked(np.zeros(expected.shape, np.float32), BLOCK)
    neutral = np.full(out.shape[-1], pooling.neutral, np.float32)
    function = build_pooling(pooling, 2, channels, TARGET).with_attr("global_symbol", "main")
    on_host(function, TARGET, tmp_path)(stored, neutral, out)
    np.testing.assert_allclose(from_blocked(out), expected.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("channels", "read", "written"),
    [(64, Channels(64), Channels(64)), (48, Channels(96, 16), Channels(144, 96)), (5, Channels(7, 2), Channels(5))],
)
def test_channels_are_scaled_shifted_added_and_cut_off(
    channels: int, read: Channels, written: Channels, tmp_path: Path
):
    random, size = np.random.default_rng(0), (3, 5)
    x, out = (random.standard_normal((2, own.whole, *size), dtype="float32") for own in (read, written))
    scale, shift = random.standard_normal((2, channels), dtype="float32")
    residual = random.standard_normal((2, channels, *size), dtype="float32")
    expected = out.copy()
    result = x[:, read.first :][:, :channels] * scale[:, None, None] + shift[:, None, None] + residual
    expected[:, written.first :][:, :channels] = np.maximum(result, 0)
    x, residual, out = (to_blocked(array, BLOCK) for array in (x, residual, out))
    epilogue = Epilogue(scale=True, shift=True, residual=True, relu=True)
    function = build_pointwise(read, written, (channels, *size), 2, epilogue, TARGET)
    on_host(function.with_attr("global_symbol", "main"), TARGET, tmp_path)(x, scale, shift, residual, out)
    np.testing.assert_allclose(from_blocked(out), expected, rtol=1e-5, atol=1e-6)
