"""The schedules worth timing for a form on a target."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from loopwright.ir.contraction import OperatorForm
from loopwright.ir.loopnest import FLOAT_BYTES
from loopwright.lowering.schedules.cost import estimated_cycles, tile_shapes
from loopwright.lowering.schedules.schedule import CpuSchedule
from loopwright.targets.target import Target

VARIANTS_AT_MOST = 24
SPARE_REGISTERS = 3
PREFETCH_VECTORS = 64
STACK_ARRAY_BYTES = 1024


def variants(form: OperatorForm, target: Target) -> list[CpuSchedule]:
    """At most 24 schedules that differ for this form, the one with the lowest estimate first."""
    distinct: dict[object, tuple[float, CpuSchedule]] = {}
    for schedule in _candidates(form, target):
        shapes = tile_shapes(form, schedule, target)
        estimate = estimated_cycles(form, schedule, target)
        known = distinct.get(shapes)
        if known is None or estimate < known[0]:
            distinct[shapes] = (estimate, schedule)
    ranked = sorted(distinct.values(), key=lambda pair: pair[0])
    return [schedule for _, schedule in ranked[:VARIANTS_AT_MOST]]


def _candidates(form: OperatorForm, target: Target) -> Iterator[CpuSchedule]:
    lanes = [target.vector_lanes, target.vector_lanes // 2]
    columns = _column_tiles(_longest(form, 2))
    for width, channels, rows, column in product(lanes, (1, 2, 3, 4, 6, 8), (1, 2, 4), columns):
        vectors = channels * rows * column
        fits_the_stack = column * width * FLOAT_BYTES < STACK_ARRAY_BYTES
        if vectors <= target.vector_registers - SPARE_REGISTERS and fits_the_stack:
            unroll = rows > 1 and rows == _longest(form, 1)
            yield CpuSchedule(width, channels, rows, column, unroll, PREFETCH_VECTORS)


def _longest(form: OperatorForm, axis: int) -> int:
    """The longest dim without weight along an axis of the output."""
    dims = [dim for contraction in form.contractions for dim in contraction.of("pixel")]
    return max((dim.extent for dim in dims if dim.output[axis]), default=1)


def _column_tiles(extent: int) -> list[int]:
    """Widths that cut a row into strips of nearly equal width."""
    return sorted({-(-extent // strips) for strips in range(1, extent + 1)} & set(range(1, 29)), reverse=True)[:10]
