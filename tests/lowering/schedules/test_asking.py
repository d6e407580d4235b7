"""What tiles ask for of the input of the next tile."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import tvm
from tvm import tirx

from loopwright.ir.contraction import operator_form
from loopwright.lowering.schedules.asking import Asking, asking
from loopwright.lowering.schedules.digits import Digits, cut, loops, tap_points
from loopwright.lowering.schedules.schedule import CpuSchedule
from loopwright.lowering.schedules.scope import Scope
from loopwright.lowering.schedules.source import Source
from loopwright.operators import parse

BLOCK = 8
COLUMNS_OF_A_LINE = 2


def of(operator: str, schedule: CpuSchedule) -> tuple[Digits, Source]:
    form = operator_form(parse(operator).nest())
    [contraction] = form.contractions
    digits = cut(contraction, schedule, BLOCK)
    channels, rows, columns = form.input_shape
    shape = (1, max(1, channels // BLOCK), rows, columns, min(BLOCK, channels))
    return digits, Source(tirx.decl_buffer(shape, "float32", "x"), digits.input_axes)


def numbers(place: list[object]) -> tuple[int, ...]:
    return tuple(int(index) for index in place)


def lines(digits: Digits, source: Source, strip: int) -> set[tuple[int, ...]]:
    """Block, row and line of all that a tile of the second row reads inside of the input."""
    return {place for place in read(digits, source, strip) if 0 <= place[2] * COLUMNS_OF_A_LINE < source.columns}


def read(digits: Digits, source: Source, strip: int) -> Iterator[tuple[int, ...]]:
    for at in points(digits, strip):
        for taps in tap_points(digits):
            for column in range(digits.extent("column")):
                found = {**at, **taps, digits.of("column")[0].name: column}
                channel, row, place = (axis.evaluate(with_zeros(axis, found)) for axis in source.axes)
                yield channel // BLOCK, row, place // COLUMNS_OF_A_LINE


def points(digits: Digits, strip: int) -> Iterator[dict[str, int]]:
    levels = loops(digits)
    total = 1
    for level in levels:
        total *= level.extent
    for number in range(total):
        at, left = {}, number
        for level in reversed(levels):
            at[level.name], left = left % level.extent, left // level.extent
        yield at | {digits.of("strip")[0].name: strip} | {digit.name: 1 for digit in rows(digits)}


def rows(digits: Digits) -> list:
    return [own for own in digits.of("task", "walk") if digits.contraction.dims[own.dim].output[1]]


def with_zeros(axis, found: dict[str, int]) -> dict[str, int]:
    return {name: found.get(name, 0) for name in axis.variables}


def asked(own: Asking, strip: int) -> set[tuple[int, ...]]:
    """Block, row and line of all that a tile asks for."""
    found, digits = set(), own.digits
    levels = loops(digits)
    known = next(k for k in range(len(levels) + 1) if own.knows_lines(levels[k:]))
    for at in points(digits, strip):
        scope = Scope(variables={"image": 0}).fix({**dict.fromkeys(names(digits), 0), **at})
        for statement in own.statements(scope, levels[known:]):
            image, block, row, column, lane = numbers(address(statement).indices)
            assert (image, lane) == (0, 0)
            found.add((block, row, column // COLUMNS_OF_A_LINE))
    return found


def address(statement: tirx.Evaluate) -> tirx.BufferLoad:
    return next(own.args[0] for own in statement.value.args if isinstance(own, tvm.ir.Call))


def names(digits: Digits) -> list[str]:
    inside = (*digits.of("tap", "row", "column", "lane", "channel"),)
    return [digit.name for digit in digits.digits if digit not in inside]


@pytest.mark.parametrize(
    ("operator", "schedule"),
    [
        ("conv2d(co=16, ci=64, oh=16, ow=16)", CpuSchedule(8, 1, 1, 4, prefetch=64)),
        ("conv2d(co=16, ci=64, oh=16, ow=18)", CpuSchedule(8, 2, 1, 6, prefetch=64)),
        ("conv2d(co=16, ci=64, oh=8, ow=16, kh=3, kw=3)", CpuSchedule(8, 1, 1, 4, prefetch=64)),
        ("conv2d(co=16, ci=64, oh=8, ow=16, kh=3, kw=3, stride=2)", CpuSchedule(8, 1, 1, 4, prefetch=64)),
    ],
)
def test_a_tile_asks_for_all_lines_that_only_the_next_one_reads(operator: str, schedule: CpuSchedule):
    digits, source = of(operator, schedule)
    own = asking(digits, source)
    assert own is not None
    wanted = lines(digits, source, 1) - lines(digits, source, 0)
    assert wanted
    assert wanted <= asked(own, 0)
    assert len(asked(own, 0)) <= 2 * len(wanted)


@pytest.mark.parametrize(
    ("operator", "schedule"),
    [
        ("conv2d(co=16, ci=64, oh=16, ow=16)", CpuSchedule(8, 1, 1, 16)),  # one tile a row
        ("conv2d(co=16, ci=16, oh=8, ow=8)", CpuSchedule(8, 1, 1, 4)),  # the image stays in the innermost cache
        ("conv2d(co=16, ci=8, oh=64, ow=64, kh=3, kw=3)", CpuSchedule(8, 1, 1, 4)),  # one block of channels
        ("conv2d(co=64, ci=64, oh=64, ow=64, kh=3, kw=3, groups=64)", CpuSchedule(8, 1, 1, 4)),
    ],
)
def test_nothing_is_asked_for_where_a_processor_sees_or_has_what_comes(operator: str, schedule: CpuSchedule):
    assert asking(*of(operator, schedule)) is None
