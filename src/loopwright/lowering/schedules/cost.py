"""An estimate of a schedule's time, good enough to order register tiles before they are timed.

Per reduction step a core issues two vector multiply-adds and two loads a cycle, and a tile of few vectors waits for the
latency of its own additions. A tile spills when its vectors and the inputs that neighbouring taps share exceed what
LLVM keeps in registers. To this come what a tile costs once (clearing, storing) and the weights it streams. Kernels are
compiled by the hundred, so that many updates written out count against a schedule too.
"""

from __future__ import annotations

from math import prod

from loopwright.ir.contraction import OperatorForm
from loopwright.ir.loopnest import FLOAT_BYTES
from loopwright.lowering.layout import channel_block
from loopwright.lowering.schedules.digits import Digits, cut
from loopwright.lowering.schedules.schedule import CpuSchedule
from loopwright.targets.target import Target

ISSUED_PER_CYCLE = 2
ADD_LATENCY = 6
CYCLES_PER_TILE = 40
CYCLES_PER_STORE = 2
CACHED_BYTES_PER_CYCLE = 32
COLD_BYTES_PER_CYCLE = 8
SPILL = 2.5
LIVE_VALUES_PER_REGISTER = 1.3
FEW_UPDATES, MANY_UPDATES = 2500, 800


def estimated_cycles(form: OperatorForm, schedule: CpuSchedule, target: Target) -> float:
    """Cycles of one core for one image, summed over the contractions and divided among the threads."""
    block = channel_block(form.input_shape[0], target.vector_lanes)
    return sum(_cycles(cut(contraction, schedule, block), target) for contraction in form.contractions)


def _cycles(digits: Digits, target: Target) -> float:
    tasks = digits.extent("task")
    strips = _strip_widths(digits)
    steps = digits.extent("reduce") * digits.extent("tap")
    compute = sum(_tile_cycles(digits, width, steps, target) for width in strips)
    weight_bytes = FLOAT_BYTES * steps * digits.extent("channel") * digits.extent("lane")
    streamed = tasks * len(strips) * weight_bytes / CACHED_BYTES_PER_CYCLE
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
    borders_known = not any(digit.dim in tiled for digit in digits.of("task"))
    return strips * taps * vectors * (1 if borders_known else 2)


def _strip_widths(digits: Digits) -> list[int]:
    """Columns of every strip; one of width 1 where there are no columns."""
    strips, columns = digits.of("strip"), digits.extent("column")
    if not strips:
        return [1]
    total = digits.contraction.dims[strips[0].dim].extent
    return [min(columns, total - start) for start in range(0, total, columns)]


def tile_shapes(form: OperatorForm, schedule: CpuSchedule, target: Target) -> tuple[tuple[int, ...], ...]:
    """What a schedule comes to for every contraction: lanes, channels, rows, columns."""
    block = channel_block(form.input_shape[0], target.vector_lanes)
    kinds = ("lane", "channel", "row", "column")
    return tuple(tuple(cut(c, schedule, block).extent(kind) for kind in kinds) for c in form.contractions)
