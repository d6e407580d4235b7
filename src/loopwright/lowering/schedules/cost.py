"""An estimate of a schedule's time, good enough to order register tiles before they are timed.

Per reduction step a core issues two vector multiply-adds and two loads a cycle, and a tile of few vectors waits for the
latency of its own additions. A tile spills when its vectors and the inputs that neighbouring taps share exceed what
LLVM keeps in registers. To this come what a tile costs once (clearing, storing) and the weights it streams. Kernels are
compiled by the hundred, so that many updates written out count against a schedule too. Minimal filtering has fewer
updates, more weights, and the transforms.
"""

from __future__ import annotations

from math import prod

from loopwright.ir.contraction import Contraction, OperatorForm
from loopwright.ir.loopnest import FLOAT_BYTES
from loopwright.lowering.layout import channel_block
from loopwright.lowering.schedules.digits import Digits, cut
from loopwright.lowering.schedules.schedule import CpuSchedule
from loopwright.lowering.schedules.winograd import WinogradContraction, cut_windows
from loopwright.targets.target import Target

ISSUED_PER_CYCLE = 2
ADD_LATENCY = 6
CYCLES_PER_TILE = 40
CYCLES_PER_TASK = 60
CYCLES_PER_STORE = 2
CACHED_BYTES_PER_CYCLE = 32
COLD_BYTES_PER_CYCLE = 8
CYCLES_PER_TRANSFORMED = 6
CYCLES_PER_BARRIER = 5000
SPILL = 2.5
LIVE_VALUES_PER_REGISTER = 1.3
FEW_UPDATES, MANY_UPDATES = 2500, 800


def estimated_cycles(form: OperatorForm, schedule: CpuSchedule, target: Target) -> float:
    """Cycles of one core for one image, summed over the contractions and divided among the threads."""
    block = channel_block(form.input_shape[0], target.vector_lanes)
    return sum(_contraction_cycles(contraction, schedule, block, target) for contraction in form.contractions)


def _contraction_cycles(contraction: Contraction, schedule: CpuSchedule, block: int, target: Target) -> float:
    filtered = cut_windows(contraction, schedule, block)
    return (
        _cycles(cut(contraction, schedule, block), target) if filtered is None else _filtered_cycles(filtered, target)
    )


def _filtered_cycles(filtered: WinogradContraction, target: Target) -> float:
    digits, tiles = filtered.digits, filtered.tiles
    held = digits.extent("channel")
    step = max(held * tiles / ISSUED_PER_CYCLE, (held + tiles) / ISSUED_PER_CYCLE, ADD_LATENCY)
    tasks = digits.extent("block") if filtered.by_channel else filtered.groups
    tile_cycles = digits.extent("reduce") * step + CYCLES_PER_TILE + held * tiles * CYCLES_PER_STORE
    product = filtered.groups * digits.extent("position") * digits.extent("block") * tile_cycles / tasks
    vectors = filtered.read_blocks + digits.extent("block") * held
    transforms = filtered.grid_size * vectors * digits.extent("position") * CYCLES_PER_TRANSFORMED
    weight_bytes = FLOAT_BYTES * prod(filtered.shape)
    readers = 1 if filtered.by_channel else min(target.threads, tasks)
    cold = readers * weight_bytes / COLD_BYTES_PER_CYCLE
    run = -(-tasks // target.threads) * product + (transforms + cold) / target.threads
    return run + (_exchange_cycles(filtered) if filtered.by_channel else 0)


def _exchange_cycles(filtered: WinogradContraction) -> float:
    """Threads wait for each other once, and read what the others have transformed."""
    channels = filtered.read_blocks * filtered.input_block
    elements = filtered.digits.extent("position") * filtered.grid_size * channels
    return CYCLES_PER_BARRIER + FLOAT_BYTES * elements / 2 / COLD_BYTES_PER_CYCLE


def _cycles(digits: Digits, target: Target) -> float:
    tasks, walked = digits.extent("task"), digits.extent("walk")
    strips = _strip_widths(digits)
    steps = digits.extent("reduce") * digits.extent("tap")
    compute = walked * sum(_tile_cycles(digits, width, steps, target) for width in strips) + CYCLES_PER_TASK
    weight_bytes = FLOAT_BYTES * steps * digits.extent("channel") * digits.extent("lane")
    streamed = tasks * walked * len(strips) * weight_bytes / CACHED_BYTES_PER_CYCLE
    cold = FLOAT_BYTES * prod(digits.contraction.weight_shape) / COLD_BYTES_PER_CYCLE
    rounds = -(-tasks // target.threads)
    run = max(rounds * compute, streamed / target.threads) + cold / target.threads
    updates = _updates(digits)
    return run * (1 + updates / FEW_UPDATES + (updates / MANY_UPDATES) ** 2)


def _tile_cycles(digits: Digits, width: int, steps: int, target: Target) -> float:
    channels, pixels = digits.extent("channel"), digits.extent("row") * width
    vectors, inputs = channels * pixels, digits.extent("row") * _input_columns(digits, width)
    loads = channels + inputs / _column_taps(digits)
    step = max(vectors / ISSUED_PER_CYCLE, loads / ISSUED_PER_CYCLE, ADD_LATENCY)
    spilled = vectors + channels + inputs > target.vector_registers * LIVE_VALUES_PER_REGISTER
    return steps * step * (SPILL if spilled else 1.0) + CYCLES_PER_TILE + vectors * CYCLES_PER_STORE


def _column_taps(digits: Digits) -> int:
    """How many kernel columns are written out."""
    return prod(d.extent for d in digits.of("tap") if digits.contraction.dims[d.dim].input[2])


def _input_columns(digits: Digits, width: int) -> int:
    """Columns of the input that a row of the tile reads under all its kernel columns."""
    step = max((abs(digits.contraction.dims[d.dim].input[2]) for d in digits.of("column")), default=1)
    taps = _column_taps(digits)
    return min((width - 1) * step + taps, width * taps)


def _updates(digits: Digits) -> int:
    """Updates written out: a tile's, for each kind of strip, twice where rows may lie outside."""
    taps, vectors = digits.extent("tap"), digits.extent("channel") * digits.extent("row") * digits.extent("column")
    strips = min(3, len(_strip_widths(digits)))
    tiled = {digit.dim for digit in digits.of("row") if digit.extent > 1}
    borders_known = not any(digit.dim in tiled for digit in digits.of("task", "walk"))
    return strips * taps * vectors * (1 if borders_known else 2)


def _strip_widths(digits: Digits) -> list[int]:
    """Columns of every strip; one of width 1 where there are no columns."""
    strips, columns = digits.of("strip"), digits.extent("column")
    if not strips:
        return [1]
    total = digits.contraction.dims[strips[0].dim].extent
    return [min(columns, total - start) for start in range(0, total, columns)]


def tile_shapes(form: OperatorForm, schedule: CpuSchedule, target: Target) -> tuple[tuple[int, ...], ...]:
    """What a schedule comes to for every contraction: lanes, channels, rows, columns, or with minimal filtering lanes,
    channels, tiles, their size, and whether tasks share out channels."""
    block = channel_block(form.input_shape[0], target.vector_lanes)
    return tuple(_tile_shape(contraction, schedule, block) for contraction in form.contractions)


def _tile_shape(contraction: Contraction, schedule: CpuSchedule, block: int) -> tuple[int, ...]:
    filtered = cut_windows(contraction, schedule, block)
    if filtered is None:
        digits = cut(contraction, schedule, block)
        return tuple(digits.extent(kind) for kind in ("lane", "channel", "row", "column"))
    held = tuple(filtered.digits.extent(kind) for kind in ("lane", "channel"))
    return (*held, filtered.tiles, filtered.filtering.size, filtered.by_channel)
