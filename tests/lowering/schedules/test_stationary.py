"""Reductions by their inputs, and kernels on one thread."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from loopwright import targets
from loopwright.ir.contraction import OperatorForm
from loopwright.lowering.kernel import build_kernel
from loopwright.lowering.schedules.cost import Tiling
from loopwright.lowering.schedules.digits import cut
from loopwright.lowering.schedules.given import Given
from loopwright.lowering.schedules.schedule import CpuSchedule
from loopwright.lowering.schedules.stationary import is_stationary
from loopwright.lowering.schedules.variants import variants
from loopwright.measurement.build import assembly
from loopwright.targets.cpu import cpu
from tests.lowering.forms import conv, parts
from tests.lowering.test_kernel import Epilogue, assert_equal

BIASED = Epilogue(shift=True, relu=True)
FORMS = {
    "depthwise": conv(32, 32, 8, groups=32),
    "wide": conv(16, 16, 6, groups=16, width=13),
    "strided": conv(32, 32, 8, stride=2, groups=32),
    "dilated": conv(16, 16, 8, dilation=2, groups=16),
    "5x5": conv(16, 16, 8, k=5, groups=16),
    "7x7 of few pixels": conv(16, 16, 2, k=7, groups=16),
    "1x1": conv(16, 16, 4, k=1, groups=16),
    "blocks of 12": conv(24, 24, 8, groups=24),
    "prime channels": conv(7, 7, 4, groups=7),
    "multiplier": conv(32, 16, 6, groups=16),
    "one channel": conv(16, 1, 6),
    "several statements": parts(64, 32, 8, [(32, 32), (32, 32)]),
    "beside a dense one": parts(48, 32, 8, [(32, 32), (16, 1)]),
}
SCHEDULES = (
    CpuSchedule(16, 1, 1, 3, unroll_rows=True),
    CpuSchedule(16, 1, 2, 4, unroll_rows=True),
    CpuSchedule(8, 1, 8, 2, unroll_rows=True),
    CpuSchedule(4, 1, 4, 5, unroll_rows=True, one_thread=True),
)
DEPTHWISE = conv(32, 32, 12, groups=32)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_equals_reference(form: OperatorForm, schedule: CpuSchedule) -> None:
    assert is_stationary(cut(form.contractions[0], schedule, 16))
    assert_equal(form, 2, BIASED, schedule)


@pytest.mark.parametrize("part", ["scale", "shift", "residual"])
def test_each_part_of_the_epilogue(part: str) -> None:
    assert_equal(DEPTHWISE, 1, Epilogue(**{part: True}), SCHEDULES[1])


def test_dense_reductions_are_loops() -> None:
    assert not is_stationary(cut(conv(32, 32, 8).contractions[0], SCHEDULES[1], 16))


def test_every_input_of_a_tile_is_loaded_once() -> None:
    kernel = build_kernel(DEPTHWISE, 1, BIASED, targets.named("cpu-avx512"), CpuSchedule(16, 1, 2, 4, unroll_rows=True))
    rows, left, middle, right = 4, 5, 6, 5
    assert str(kernel.primfunc).count(" = x[") == rows * (left + middle + right)


@pytest.mark.parametrize(("rows", "columns"), [(1, 12), (2, 4), (2, 6), (4, 3)])
def test_weights_and_sums_stay_in_registers(rows: int, columns: int) -> None:
    target = targets.named("cpu-avx512")
    kernel = build_kernel(DEPTHWISE, 1, BIASED, target, CpuSchedule(16, 1, rows, columns, unroll_rows=True))
    assert not re.findall(r"vmov[au]ps\t%zmm\d+, -?\d*\(%r[sb]p\)", assembly(kernel.primfunc, target))


def test_sums_begin_with_the_shift() -> None:
    """Nothing is added to a sum at its end."""
    target = targets.named("cpu-avx512")
    text = assembly(build_kernel(DEPTHWISE, 1, BIASED, target, SCHEDULES[1]).primfunc, target)
    assert "vfmadd" in text
    assert not re.findall(r"vaddps\t.*zmm", text)


def test_one_thread_starts_no_other() -> None:
    alone, shared = CpuSchedule(16, 1, 2, 4, one_thread=True), CpuSchedule(16, 1, 2, 4)
    texts = [str(build_kernel(DEPTHWISE, 1, BIASED, cpu(), schedule).primfunc) for schedule in (alone, shared)]
    assert ["T.parallel" in text for text in texts] == [False, True]


def test_small_operators_are_tried_on_one_thread_and_on_all() -> None:
    target = replace(targets.named("cpu-avx512"), threads=2)
    first = variants(conv(256, 256, 8, groups=256), target)[:2]
    assert {schedule.one_thread for schedule in first} == {False, True}


def test_the_smallest_are_expected_to_be_fastest_on_one() -> None:
    assert variants(conv(64, 64, 4, groups=64), cpu(threads=2))[0].one_thread


@pytest.mark.parametrize(
    ("form", "threads"), [(conv(64, 64, 32, groups=64), 2), (conv(64, 64, 8), 2), (conv(64, 64, 8, groups=64), 1)]
)
def test_others_are_not(form: OperatorForm, threads: int) -> None:
    assert not any(schedule.one_thread for schedule in variants(form, cpu(threads=threads)))


def test_marked_loops_are_shared_out() -> None:
    found = variants(conv(64, 64, 8, groups=64), cpu(threads=2), Given(parallel=True))
    assert found
    assert not any(schedule.one_thread for schedule in found)


def test_the_estimate_prefers_inputs_that_are_loaded_once() -> None:
    target = targets.named("cpu-avx512")
    by_input, by_tap = (CpuSchedule(16, 1, 2, 7, unroll) for unroll in (True, False))
    form = conv(64, 64, 28, groups=64)
    assert Tiling.of(form, by_input, target).cycles < Tiling.of(form, by_tap, target).cycles
    assert is_stationary(cut(form.contractions[0], variants(form, target)[0], 16))
