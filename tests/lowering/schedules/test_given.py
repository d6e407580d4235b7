"""The user's own splits, tiles and marks decide the kernel's tile; what they leave open is filled in."""

from __future__ import annotations

import pytest

from loopwright.ir.contraction import operator_form
from loopwright.ir.loopnest import LoopNest
from loopwright.lowering.kernel import Epilogue, schedules
from loopwright.lowering.schedules.cost import Tiling
from loopwright.lowering.schedules.given import Given, given
from loopwright.operators import parse
from loopwright.targets.cpu import cpu
from loopwright.transformations import TransformationSequence
from tests.lowering.test_kernel import run
from tests.lowering.ways import TOLERANCE, relative_error

CONVOLUTION = "conv2d(co=32, ci=16, oh=8, ow=12, kh=3, kw=3)"
LANES_LAST = "reorder(co_outer, oh, ow, ci, kh, kw, co_inner) -> vectorize(co_inner)"

CASES = {
    "reorder(co, ow, oh)": {},
    "split(ow, 6)": {"columns": 6},
    "tile(oh: 2, ow: 3)": {"rows": 2, "columns": 3},
    f"split(co, 8) -> {LANES_LAST}": {"lanes": 8},
    "split(oh, 4) -> group(co, ci, 2)": {"rows": 4},
    f"split(co, 8) -> {LANES_LAST} -> prefetch(weight, kh)": {"lanes": 8, "prefetch": 3},
    "split(ow, 4) -> parallel(ow_outer)": {"columns": 4},
    "split(co, 16) -> split(co_inner, 8) -> reorder(co_outer, oh, ow, ci, kh, kw, co_inner_outer, co_inner_inner)"
    " -> vectorize(co_inner_inner)": {"lanes": 8, "channels": 2},
}


def nest(sequence: str) -> LoopNest:
    return TransformationSequence.parse(sequence).apply(parse(CONVOLUTION).nest())


@pytest.mark.parametrize(("sequence", "fields"), CASES.items(), ids=CASES.keys())
def test_what_is_given(sequence: str, fields: dict[str, int]) -> None:
    found = given(nest(sequence))
    assert found.fields == fields
    assert not found.ignored


@pytest.mark.parametrize("sequence", CASES, ids=CASES)
def test_every_schedule_follows_and_the_kernel_is_right(sequence: str) -> None:
    own, target = nest(sequence), cpu(threads=2)
    form, wanted = operator_form(own), given(own)
    found = schedules(form, target, wanted)
    assert found
    assert all(getattr(schedule, field) == value for schedule in found for field, value in wanted.fields.items())
    assert relative_error(*run(form, 1, Epilogue(relu=True), found[0])) < TOLERANCE


def test_a_tile_that_is_given_is_the_tile_of_the_kernel() -> None:
    own, target = nest("tile(oh: 2, ow: 3)"), cpu(threads=2)
    form = operator_form(own)
    for schedule in schedules(form, target, given(own)):
        ((_, _, rows, columns, *_),) = Tiling.of(form, schedule, target).shapes
        assert (rows, columns) == (2, 3)


def test_nothing_given_leaves_all_schedules() -> None:
    form, target = operator_form(nest("reorder(ci, co)")), cpu(threads=2)
    assert schedules(form, target, Given()) == schedules(form, target)


@pytest.mark.parametrize(
    ("sequence", "ignored"),
    [
        ("prefetch(input, co)", "prefetch(input, co): kernels fetch ahead vectors of weights only"),
        ("parallel(ci)", "parallel(ci): tasks share out output loops outside of the tile"),
        ("split(oh, 2) -> parallel(oh_inner)", "parallel(oh_inner): tasks share out output loops outside of the tile"),
        ("reorder(co, ci, kh, kw, oh, ow) -> vectorize(ow)", "vectorize(ow): lanes are neighbouring output channels"),
        ("partition(co, 16) -> on s0: split(ow, 4) -> on s1: split(ow, 6)", "s1 asks for columns=6, another"),
    ],
)
def test_what_no_kernel_can_follow_is_told(sequence: str, ignored: str) -> None:
    assert any(note.startswith(ignored) for note in given(nest(sequence)).ignored)
