"""Kernels with a prologue: what comes before a convolution is computed into a panel of each task."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import tvm
from torch import nn
from torch.nn import functional

from loopwright.lowering.epilogue import Epilogue
from loopwright.lowering.kernel import build_kernel, takes_prologue
from loopwright.lowering.layout import Channels, from_blocked, to_blocked
from loopwright.lowering.network import compile_network
from loopwright.lowering.schedules.schedule import CpuSchedule
from loopwright.measurement.build import compile_function
from loopwright.models.trace import trace
from loopwright.targets.cpu import cpu
from tests.lowering.forms import conv, parts, reference, strips

PROLOGUES = [
    Epilogue(scale=True, shift=True, relu=True),
    Epilogue(shift=True),
    Epilogue(relu=True, at_most=0.5),
]
SCHEDULES = [CpuSchedule(16, 3, 1, 3, prefetch=64), CpuSchedule(16, 1, 2, 8), CpuSchedule(8, 2, 4, 4, unroll_rows=True)]


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@pytest.mark.parametrize("prologue", PROLOGUES, ids=str)
@pytest.mark.parametrize(
    ("co", "ci", "size", "first"), [(48, 32, 12, 16), (96, 48, 4, 0), (32, 96, 7, 0), (10, 6, 5, 0)]
)
def test_the_prologue_comes_before_the_convolution(threads, schedule, prologue, co, ci, size, first) -> None:
    target, form = cpu(threads), conv(co, ci, size, k=1)
    random = np.random.default_rng(0)
    whole = random.standard_normal((2, first + ci, size, size), dtype="float32")
    scale, shift = random.standard_normal((2, ci), dtype="float32")
    kernel = build_kernel(
        *(form, 2, Epilogue(shift=True), target, schedule),
        read=Channels(first + ci, first),
        prologue=prologue,
    )
    weight = random.standard_normal(form.contractions[0].weight_shape, dtype="float32")
    bias = random.standard_normal(co, dtype="float32")
    given = [*([scale] if prologue.scale else []), *([shift] if prologue.shift else [])]
    out = to_blocked(np.zeros((2, co, size, size), "float32"), target.vector_lanes)
    arrays = [to_blocked(whole, target.vector_lanes), *kernel.pack([weight]), bias, *given, out]
    tensors = [tvm.runtime.tensor(array) for array in arrays]
    compile_function(kernel.primfunc, target)(*tensors)
    ready = whole[:, first:] * (scale if prologue.scale else np.ones(ci))[:, None, None]
    ready = np.clip(ready + (shift if prologue.shift else np.zeros(ci))[:, None, None], *prologue.bounds)
    expected = reference(form, ready, [weight]) + bias[:, None, None]
    np.testing.assert_allclose(from_blocked(tensors[-1].numpy()), expected, rtol=1e-4, atol=1e-4)


def test_which_convolutions_take_a_prologue() -> None:
    assert takes_prologue(conv(32, 16, 8, k=1), cpu())
    for other in (
        conv(32, 16, 8),
        conv(32, 16, 8, k=1, stride=2),
        conv(32, 16, 8, k=1, groups=2),
        parts(64, 32, 8, [(32, 1), (32, 2)]),
        strips(32, 16, 8, 2),
    ):
        assert not takes_prologue(other, cpu())


class Preactivated(nn.Module):
    """Batch norm, ReLU and a convolution of what ``join`` makes of an image and its convolution."""

    def __init__(self, kernel_size: int = 1, twice: bool = False):
        super().__init__()
        self.first, self.bn = nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(32)
        self.grow = nn.Conv2d(16, 16, 1)
        self.conv, self.twice = nn.Conv2d(32, 48, kernel_size, padding=kernel_size // 2), twice

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        begun = self.first(x)
        ready = functional.relu(self.bn(torch.cat([begun, self.grow(begun)], 1)))
        return self.conv(ready) + (ready.mean() if self.twice else 0)


@pytest.mark.parametrize(("module", "passes"), [(Preactivated(), 0), (Preactivated(3), 1), (Preactivated(1, True), 1)])
def test_only_what_no_kernel_takes_is_a_pass_of_its_own(module, passes) -> None:
    torch.manual_seed(0)
    for tensor in (module.bn.weight, module.bn.bias, module.bn.running_mean):
        nn.init.normal_(tensor)
    network = trace(module.eval(), torch.zeros(1, 3, 9, 9))
    compiled = compile_network(network, module, cpu(2))
    x = torch.randn(1, 3, 9, 9)
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), module(x), rtol=1e-4, atol=1e-4)
    assert compiled.kernels == 3 + passes
