"""Minimal filtering equals the convolution it stands for."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
import pytest

from loopwright import targets
from loopwright.ir.contraction import OperatorForm, operator_form
from loopwright.lowering.kernel import CpuSchedule, Epilogue, build_kernel
from loopwright.lowering.layout import channel_block
from loopwright.lowering.schedules.digits import largest_divisor
from loopwright.lowering.schedules.winograd import FILTERINGS, cut_windows, windows
from loopwright.measurement.agreement import Agreement
from loopwright.measurement.build import compile_function
from loopwright.operators import parse
from loopwright.targets.cpu import cpu
from loopwright.targets.processors import runs_here
from tests.lowering.forms import channel_bottleneck, conv, parts, strips
from tests.lowering.test_kernel import reduction_in_two, run
from tests.lowering.ways import TOLERANCE, relative_error

FORMS = {
    "dense": conv(32, 32, 8),
    "wide": conv(32, 16, 5, width=9),
    "one tile": conv(32, 32, 2),
    "sticking out": conv(16, 48, 14),
    "groups": conv(64, 64, 8, groups=2),
    "groups of a part of a block": conv(64, 32, 8, groups=4),
    "halves in other groups": parts(64, 64, 6, [(32, 1), (32, 2)]),
    "copied channels": channel_bottleneck(64, 16, 8),
    "two that add up": reduction_in_two(),
}
UNFIT = {
    "1x1": conv(32, 32, 8, k=1),
    "5x5": conv(32, 32, 8, k=5),
    "strided": conv(32, 32, 8, stride=2),
    "dilated": conv(32, 32, 8, dilation=2),
    "depthwise": conv(32, 32, 8, groups=32),
    "strips of rows": strips(64, 32, 8, 2),
    "few outputs": conv(6, 32, 8),
    "few inputs": conv(32, 3, 8),
}


def schedule_for(form: OperatorForm, size: int, *, by_channel: bool, held: int = 2) -> CpuSchedule:
    rows, columns = form.contractions[0].of("pixel")
    grid = [-(-dim.extent // size) for dim in (rows, columns)]
    lanes = min(cpu().vector_lanes, 16)
    return CpuSchedule(lanes, held, 1, largest_divisor(prod(grid), 8), prefetch=8, winograd=size, by_channel=by_channel)


def applies(form: OperatorForm, schedule: CpuSchedule) -> list[bool]:
    block = channel_block(form.input_shape[0], cpu().vector_lanes)
    return [cut_windows(contraction, schedule, block) is not None for contraction in form.contractions]


@pytest.mark.parametrize("size", FILTERINGS)
def test_the_matrices_filter_one_line(size: int) -> None:
    filtering = FILTERINGS[size]
    random = np.random.default_rng(0)
    line, taps = random.standard_normal(filtering.window), random.standard_normal(3)
    found = filtering.output @ ((filtering.weight @ taps) * (filtering.input @ line))
    np.testing.assert_allclose(found, np.correlate(line, taps), rtol=1e-12)


@pytest.mark.parametrize("by_channel", [False, True], ids=["tiles", "channels"])
@pytest.mark.parametrize("size", FILTERINGS)
@pytest.mark.parametrize("name", FORMS)
def test_equals_reference(name: str, size: int, *, by_channel: bool) -> None:
    schedule = schedule_for(FORMS[name], size, by_channel=by_channel)
    assert any(applies(FORMS[name], schedule))
    found, expected = run(FORMS[name], 1, Epilogue(shift=True, relu=True), schedule)
    assert relative_error(found, expected) < TOLERANCE


@pytest.mark.parametrize("by_channel", [False, True], ids=["tiles", "channels"])
def test_batch_and_epilogue(*, by_channel: bool) -> None:
    schedule = schedule_for(FORMS["dense"], 2, by_channel=by_channel, held=1)
    epilogue = Epilogue(scale=True, shift=True, residual=True, relu=True)
    assert relative_error(*run(FORMS["dense"], 2, epilogue, schedule)) < TOLERANCE


@pytest.mark.parametrize("name", UNFIT)
def test_other_contractions_take_register_tiles(name: str) -> None:
    schedule = schedule_for(UNFIT[name], 4, by_channel=False)
    assert not any(applies(UNFIT[name], schedule))
    assert relative_error(*run(UNFIT[name], 1, Epilogue(), schedule)) < TOLERANCE


def test_tiles_that_do_not_share_out_evenly_do_not_apply() -> None:
    schedule = schedule_for(FORMS["dense"], 2, by_channel=False)
    assert applies(FORMS["dense"], schedule) == [True]
    assert applies(FORMS["dense"], replace(schedule, columns=5)) == [False]


def test_windows_names_rows_and_columns() -> None:
    (contraction,) = conv(32, 16, 5, width=9).contractions
    found = windows(contraction)
    assert found is not None
    assert [contraction.dims[k].extent for k in (found.rows, found.columns, *found.kernel)] == [5, 9, 3, 3]


@pytest.mark.parametrize(("lanes", "channels"), [(4, 12), (4, 20), (8, 24), (8, 40)])
@pytest.mark.parametrize("size", [2, 4])
def test_vectors_that_straddle_blocks_of_the_output_are_stored_lane_by_lane(lanes, channels, size):
    target = targets.named("cpu-avx2" if lanes == 4 else "cpu-avx512")
    nest = parse(f"conv2d(co={channels}, ci=32, oh=8, ow=8, kh=3, kw=3)").nest()
    form, epilogue = operator_form(nest), Epilogue(shift=True)
    assert channel_block(channels, target.vector_lanes) % lanes
    kernel = build_kernel(form, 1, epilogue, target, CpuSchedule(lanes, 2, 1, 4, winograd=size))
    if runs_here(target):
        compiled = compile_function(kernel.primfunc, target)
        assert Agreement.of(form, 1, epilogue, target).error(kernel, compiled) < 1e-4
