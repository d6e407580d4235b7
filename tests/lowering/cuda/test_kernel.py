"""CUDA kernels of operators against PyTorch, run on the host (`tests.lowering.cuda.on_host`)."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from loopwright.ir.contraction import OperatorForm, operator_form
from loopwright.lowering.epilogue import Epilogue
from loopwright.lowering.kernel import build_kernel, schedules
from loopwright.lowering.schedules.cuda.schedule import CudaSchedule
from loopwright.measurement import tolerances
from loopwright.measurement.agreement import Agreement
from loopwright.measurement.device import Processor
from loopwright.operators import parse
from loopwright.targets.cuda import cuda
from loopwright.targets.target import FLOAT32
from loopwright.transformations import TransformationSequence
from tests.lowering.cuda.on_host import on_host

TARGET = cuda("sm_90")
EPILOGUE = Epilogue(scale=True, shift=True, residual=True, relu=True)

OPERATORS = {
    "dense": "conv2d(co=32, ci=32, oh=8, ow=8, kh=3, kw=3)",
    "strided": "conv2d(co=32, ci=16, oh=4, ow=4, kh=3, kw=3, stride=2)",
    "1x1": "conv2d(co=24, ci=48, oh=4, ow=4, kh=1, kw=1)",
    "stem": "conv2d(co=16, ci=3, oh=8, ow=8, kh=7, kw=7, stride=2)",
    "odd": "conv2d(co=10, ci=7, oh=5, ow=7, kh=3, kw=3)",
    "48 channels": "conv2d(co=48, ci=48, oh=4, ow=4, kh=3, kw=3)",
    "grouped": "conv2d(co=32, ci=32, oh=8, ow=8, kh=3, kw=3, groups=4)",
    "narrow groups": "conv2d(co=32, ci=32, oh=4, ow=4, kh=3, kw=3, groups=16)",
    "depthwise": "conv2d(co=32, ci=32, oh=8, ow=8, kh=3, kw=3, groups=32)",
    "dilated": "conv2d(co=16, ci=16, oh=8, ow=8, kh=3, kw=3, dilation=2)",
    "linear": "linear(co=10, ci=64)",
}
SEQUENCES = (
    "bottleneck(co, 4)",
    "bottleneck(ci, 2, keep=stride)",
    "partition(co, 16) -> on s0: group(co, ci, 2) -> on s1: group(co, ci, 4)",
    "unroll(co, 16) -> on s1: group(co, ci, 2)",
    "reorder(oh, ow) -> bottleneck(oh, 2) -> bottleneck(ow, 2)",
    "unroll(oh, 4) -> reorder(kh, co) -> group(ci, co, 4) -> unroll(g, 2)",
    "fuse(ow, kh) -> bottleneck(ci, 4)",
    "group(co, ci, 4, complete=project)",
    "partition(ci, 8) -> on s0: bottleneck(co, 2)",
)
SCHEDULES = (
    CudaSchedule(1, 1, 1),
    CudaSchedule(2, 2, 4, thread_channels=2, thread_rows=2, share=4),
    CudaSchedule(1, 1, 2, thread_channels=8, thread_columns=4, share=8),
    CudaSchedule(1, 4, 2, thread_rows=2, thread_columns=4, share=2),
    CudaSchedule(2, 1, 8, thread_channels=4, share=3),
)


def form_of(operator: str, sequence: str = "") -> OperatorForm:
    nest = parse(operator).nest()
    return operator_form(TransformationSequence.parse(sequence).apply(nest) if sequence else nest)


def agreement(form: OperatorForm, n: int, epilogue: Epilogue) -> Agreement:
    """That of the GPU, with arrays of the processor."""
    return replace(Agreement.of(form, n, epilogue, TARGET), device=Processor())


def error(form: OperatorForm, n: int, epilogue: Epilogue, schedule: CudaSchedule | None, folder: Path) -> float:
    kernel = build_kernel(form, n, epilogue, TARGET, schedule)
    return agreement(form, n, epilogue).error(kernel, on_host(kernel.primfunc, TARGET, folder))


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_equals_pytorch(name: str, tmp_path: Path):
    assert error(form_of(OPERATORS[name]), 2, EPILOGUE, None, tmp_path) < tolerances.KERNEL[FLOAT32]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_every_schedule_gives_the_same(schedule: CudaSchedule, tmp_path: Path):
    assert error(form_of(OPERATORS["dense"]), 1, Epilogue(shift=True), schedule, tmp_path) < tolerances.KERNEL[FLOAT32]
    assert CudaSchedule.parse(str(schedule)) == schedule


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_a_transformed_operator_equals_its_pytorch_module(sequence: str, tmp_path: Path):
    assert error(form_of(OPERATORS["dense"], sequence), 1, EPILOGUE, None, tmp_path) < tolerances.KERNEL[FLOAT32]


def test_a_wrong_kernel_is_found(tmp_path: Path):
    """The host runs what was generated: with other weights the results differ."""
    form = form_of(OPERATORS["dense"])
    kernel = build_kernel(form, 1, Epilogue(), TARGET, None)
    right = agreement(form, 1, Epilogue())
    other = replace(right, weights=tuple(np.roll(weight, 1) for weight in right.weights))
    assert other.error(kernel, on_host(kernel.primfunc, TARGET, tmp_path)) > 0.1


def test_there_are_no_more_variants_than_are_to_be_timed_and_they_differ():
    found = schedules(form_of("conv2d(co=64, ci=64, oh=32, ow=32, kh=3, kw=3)"), TARGET)
    assert len(found) == len(set(found)) == 24


@pytest.mark.parametrize("name", ["dense", "1x1", "grouped"])
def test_variants_give_the_same(name: str, tmp_path: Path):
    form = form_of(OPERATORS[name])
    for schedule in random.Random(0).sample(schedules(form, TARGET), 3):
        assert error(form, 1, EPILOGUE, schedule, tmp_path) < tolerances.KERNEL[FLOAT32]
