"""What a GPU in tf32 computes on tensor cores, and what it computes in float32 as before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from loopwright import targets
from loopwright.ir.contraction import OperatorForm
from loopwright.lowering.epilogue import Epilogue
from loopwright.lowering.kernel import build_kernel, schedules
from loopwright.lowering.layout import Blocks, Channels
from loopwright.lowering.network import LoweredNetwork, lower_network
from loopwright.lowering.schedules.backend import backend_of
from loopwright.lowering.schedules.cuda.schedule import CudaSchedule
from loopwright.lowering.schedules.cuda.tensor.packing import TensorContraction
from loopwright.lowering.schedules.cuda.tensor.schedule import TensorSchedule
from loopwright.measurement import tolerances
from loopwright.models.seeding import seeded
from loopwright.models.trace import trace
from loopwright.targets.target import BF16, TF32
from tests.lowering.cuda.test_kernel import OPERATORS, TARGET, form_of
from tests.lowering.cuda.test_network import OnHost

NARROW = targets.named("cuda-sm_90", precision=TF32)
LARGE = form_of("conv2d(co=64, ci=64, oh=32, ow=32, kh=3, kw=3)")
DENSE = form_of(OPERATORS["dense"])
ON_TENSOR_CORES = TensorSchedule(TF32, 16, 32, pixel_warps=2)


def test_the_first_few_variants_are_of_both_kinds():
    found = schedules(LARGE, NARROW, n=128)
    assert len(found) == len(set(found)) == 24
    assert [type(own) for own in found[:6]] == [TensorSchedule, TensorSchedule, CudaSchedule] * 2
    cycles = [backend_of(NARROW).cycles(LARGE, own, NARROW, 128) for own in (found[0], found[1], found[3])]
    assert 0 < cycles[0] <= cycles[1] <= cycles[2]


@pytest.mark.parametrize("name", ["grouped", "depthwise", "odd"])
def test_what_is_no_product_of_matrices_has_the_variants_of_float32(name: str):
    form = form_of(OPERATORS[name])
    assert schedules(form, NARROW, n=2) == schedules(form, TARGET, n=2)


def test_float32_has_no_tensor_cores():
    assert all(isinstance(own, CudaSchedule) for own in schedules(LARGE, TARGET, n=128))


def on_tensor_cores(**others: Any) -> bool:
    """Whether a kernel that is asked for with a schedule for tensor cores has it."""
    kernel = build_kernel(DENSE, 2, Epilogue(), NARROW, ON_TENSOR_CORES, **others)
    return isinstance(kernel.contractions[0], TensorContraction)


def test_what_tensor_cores_cannot_compute_is_computed_in_float32():
    assert on_tensor_cores()
    assert on_tensor_cores(read=Channels(64, 16))
    assert not on_tensor_cores(read=Channels(64, 8))
    assert not on_tensor_cores(blocks=Blocks(32, 16))
    assert not on_tensor_cores(prologue=Epilogue(relu=True))


def test_a_prologue_is_never_dropped():
    kernel = build_kernel(DENSE, 2, Epilogue(), NARROW, ON_TENSOR_CORES, prologue=Epilogue(scale=True, relu=True))
    assert any("prologue" in parameter.name for parameter in kernel.primfunc.params)


class Mixed(nn.Module):
    """A stem of three channels, a convolution whose batch norm comes first, and one for tensor cores."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32)
        self.dense, self.last = nn.Conv2d(32, 32, 3, padding=1), nn.Conv2d(32, 32, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        x = self.dense(torch.relu(self.norm(x))) + x
        return torch.relu(self.last(x))


def lowered(module: nn.Module, x: torch.Tensor, precision: str) -> LoweredNetwork:
    target, schedule = targets.named("cuda-sm_90", precision=precision), replace(ON_TENSOR_CORES, precision=precision)

    def chosen(form: OperatorForm, _: int) -> TensorSchedule | CudaSchedule:
        return schedule if form.input_shape[0] % 16 == 0 else CudaSchedule(1, 1, 1)

    return lower_network(trace(module, x), module, target, chosen)


@pytest.mark.parametrize("precision", [TF32, BF16])
def test_a_network_is_partly_computed_on_tensor_cores(precision: str, tmp_path: Path):
    with seeded(0):
        module, x = Mixed().eval(), torch.randn(2, 3, 8, 8)
        network = lowered(module, x, precision)
    names = [symbol for symbol in network.module.get_global_vars() if symbol.name_hint.startswith("convolution")]
    assert sorted("mma" in network.module[name].script() for name in names) == [False, False, True]
    with torch.no_grad():
        expected = module(x).numpy()
    error = np.abs(OnHost(network, tmp_path)(x.numpy()) - expected).max() / np.abs(expected).max()
    assert 1e-7 < error < tolerances.NETWORK[precision]
