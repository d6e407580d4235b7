"""The schedules worth timing for a form on a target."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import product
from math import prod

from loopwright.ir.contraction import OperatorForm
from loopwright.ir.loopnest import FLOAT_BYTES
from loopwright.lowering.layout import channel_block
from loopwright.lowering.schedules.cost import ISSUED_PER_CYCLE, Tiling
from loopwright.lowering.schedules.digits import cut, largest_divisor, vector_divisor
from loopwright.lowering.schedules.fetching import Fetching
from loopwright.lowering.schedules.given import Given
from loopwright.lowering.schedules.schedule import CpuSchedule
from loopwright.lowering.schedules.winograd import FILTERINGS, windows
from loopwright.targets.target import Target

VARIANTS_AT_MOST = 24
SPARE_REGISTERS = 3
PREFETCH_VECTORS = 64
SMALL_UPDATES = 1 << 14
"""Vector multiply-adds that one core does in a few times what it takes to start another."""
STACK_ARRAY_BYTES = 1024
CHANNELS = (1, 2, 3, 4, 6, 8)
"""Vectors of channels that a tile may hold."""
WIDEST, WIDTHS = 28, 10
"""Of the tiles that are looked at: the most columns, and how many numbers of columns."""
SMALL_IMAGES = range(3, 9)
"""Rows of an image that a tile may span whole."""
FAR_BYTES_PER_CYCLE = 10
"""What a core gets from beyond its own cache, while the others do the same."""
MOST_GROWTH_BYTES = 4 * 1024 * 1024
"""What minimal filtering may add to the weights of a contraction: a network keeps those of all its layers in memory."""
MAY_WIN = 1.6
"""How far above the best estimate an algorithm's may lie to be tried early."""


def variants(form: OperatorForm, target: Target, given: Given | None = None) -> list[CpuSchedule]:
    """At most 24 schedules that differ for this form, by their estimates; the best of each algorithm that may win come
    first, since estimates compare tiles of one algorithm better than algorithms. All follow what is ``given``."""
    distinct: dict[object, tuple[float, CpuSchedule]] = {}
    for tiling in _candidates(form, target, given or Given()):
        shapes, estimate = tiling.shapes, tiling.cycles
        known = distinct.get(shapes)
        if known is None or estimate < known[0]:
            distinct[shapes] = (estimate, tiling.schedule)
    ranked = sorted(distinct.values(), key=lambda pair: pair[0])
    leaders, others = _leaders(ranked)
    led = [_fetching(form, schedule, target) for schedule in leaders]
    otherwise = [replace(schedule, next_weights=False) for schedule in led if schedule.next_weights]
    return [*led, *otherwise, *(_fetching(form, schedule, target) for schedule in others)][:VARIANTS_AT_MOST]


def _fetching(form: OperatorForm, schedule: CpuSchedule, target: Target) -> CpuSchedule:
    """With the weights of the next channels fetched ahead, where a core's share of all weights would push out of its
    own cache what it reads, a tile alone asks for them faster than they come, and those of two tiles have room."""
    block = channel_block(form.input_shape[0], target.vector_lanes)
    tiles = [Fetching(cut(contraction, schedule, block), schedule.prefetch) for contraction in form.contractions]
    weights = FLOAT_BYTES * sum(prod(contraction.weight_shape) for contraction in form.contractions)
    far = weights / target.threads > target.l2_bytes / 2
    waits = any(own.sharing > 1 and own.bytes_per_update * ISSUED_PER_CYCLE > FAR_BYTES_PER_CYCLE for own in tiles)
    room = all(2 * own.bytes_read <= target.l2_bytes for own in tiles)
    return replace(schedule, next_weights=far and waits and room and not schedule.winograd)


def _leaders(ranked: Sequence[tuple[float, CpuSchedule]]) -> tuple[list[CpuSchedule], list[CpuSchedule]]:
    """The best of each algorithm that may win, and the others."""
    best: dict[object, CpuSchedule] = {}
    for estimate, schedule in ranked:
        if estimate <= MAY_WIN * ranked[0][0]:
            best.setdefault((schedule.winograd, schedule.by_channel, schedule.one_thread), schedule)
    leaders = list(best.values())
    return leaders, [schedule for _, schedule in ranked if schedule not in leaders][:VARIANTS_AT_MOST]


def _candidates(form: OperatorForm, target: Target, given: Given) -> Iterator[Tiling]:
    for schedule in _tiles(form, target):
        yield Tiling.of(form, given.imposed_on(schedule), target)
    if given.fields or not any(map(windows, form.contractions)):
        return
    for schedule in _filterings(target):
        tiling = Tiling.by_filtering(form, schedule, target)
        if tiling is not None and max(tiling.growth_bytes) <= MOST_GROWTH_BYTES:
            yield tiling


def _tiles(form: OperatorForm, target: Target) -> Iterator[CpuSchedule]:
    """Register tiles; of bounds that cut every dim alike the first, besides the whole height, which is written out."""
    lanes = [target.vector_lanes, target.vector_lanes // 2]
    columns, height = _column_tiles(_longest(form, 2), target), _longest(form, 1)
    few = {1, 2, 4, height if height in SMALL_IMAGES else 1}
    heights = sorted({*_unlike(sorted(few - {height}), _pixel_extents(form, 1)), *(few & {height})})
    one_thread = [False, True] if _is_small(form, target) else [False]
    held = [(width, channels) for width in lanes for channels in _unlike(CHANNELS, _vectors(form, width))]
    for (width, channels), rows, column in product(held, heights, columns):
        if _fits(channels, rows, column, width, target):
            spans = rows > 1 and rows == height
            unrolled = [False, True] if channels == 1 and _only_slides(form) else [spans]
            for unroll, alone in product(unrolled, one_thread):
                yield CpuSchedule(width, channels, rows, column, unroll, PREFETCH_VECTORS, one_thread=alone)


def _only_slides(form: OperatorForm) -> bool:
    """Whether some contraction sums over its window alone, one channel each."""
    return any(all(any(dim.input[1:]) for dim in contraction.of("reduce")) for contraction in form.contractions)


def _is_small(form: OperatorForm, target: Target) -> bool:
    """Whether starting threads may take longer than what they save."""
    return target.threads > 1 and form.macs <= SMALL_UPDATES * target.vector_lanes


def _filterings(target: Target) -> Iterator[CpuSchedule]:
    """Minimal filtering of 3x3 windows, whether it applies or not."""
    sizes, widths = sorted(FILTERINGS), (target.vector_lanes, target.vector_lanes // 2)
    for width, size, by_channel, channels, tiles in product(widths, sizes, (False, True), (1, 2, 3, 4), range(4, 16)):
        if _fits(channels, 1, tiles, width, target):
            yield CpuSchedule(width, channels, 1, tiles, False, PREFETCH_VECTORS, size, by_channel)


def _fits(channels: int, rows: int, columns: int, lanes: int, target: Target) -> bool:
    """Whether a tile of that many vectors stays in registers."""
    others = max(SPARE_REGISTERS, channels + 1)  # the weights of one step, and an input
    in_registers = channels * rows * columns <= target.vector_registers - others
    return in_registers and columns * lanes * FLOAT_BYTES < STACK_ARRAY_BYTES


def _unlike(bounds: Sequence[int], extents: Collection[int]) -> list[int]:
    """Of bounds, in ascending order, that leave every one of ``extents`` the same largest divisor, the first."""
    first: dict[tuple[int, ...], int] = {}
    for bound in bounds:
        first.setdefault(tuple(largest_divisor(extent, bound) for extent in extents), bound)
    return list(first.values())


def _vectors(form: OperatorForm, lanes: int) -> set[int]:
    """How many vectors of at most ``lanes`` an output channel dim may make, however many lanes other dims fill."""
    dims = [dim for contraction in form.contractions for dim in contraction.of("out") if dim.output[0]]
    widths = [lanes >> k for k in range(lanes.bit_length())]
    return {dim.extent // vector_divisor(dim.extent, width) for dim in dims for width in widths}


def _longest(form: OperatorForm, axis: int) -> int:
    """The longest dim without weight along an axis of the output."""
    return max(_pixel_extents(form, axis), default=1)


def _pixel_extents(form: OperatorForm, axis: int) -> set[int]:
    """The extents of dims without weight along an axis of the output."""
    dims = [dim for contraction in form.contractions for dim in contraction.of("pixel")]
    return {dim.extent for dim in dims if dim.output[axis]}


def _column_tiles(extent: int, target: Target) -> list[int]:
    """Widths that cut a row into strips of nearly equal width and fit the registers, the widest first."""
    widest = min(WIDEST, target.vector_registers - SPARE_REGISTERS)
    widths = {-(-extent // strips) for strips in range(1, extent + 1)}
    return sorted((width for width in widths if width <= widest), reverse=True)[:WIDTHS]
