"""An estimate of a schedule's time, good enough to order register tiles before they are timed.

Per reduction step a core issues two vector multiply-adds a cycle, loads take a little of that time, and a tile of few
vectors waits for the latency of its own additions. A tile spills when its vectors and the inputs that they share exceed
what LLVM keeps in registers. To this come what a tile costs once (clearing, storing) and the weights it streams.
Kernels are compiled by the hundred, so that many updates written out count against a schedule too. A reduction that
goes by the inputs loads each once for a tile, and the weights again where they don't fit beside the tile. Minimal
filtering has fewer updates, more weights, and the transforms. To start threads takes a while that only small operators
notice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod

import numpy as np

from loopwright.ir.contraction import Contraction, OperatorForm
from loopwright.ir.loopnest import FLOAT_BYTES
from loopwright.lowering.layout import channel_block
from loopwright.lowering.schedules.digits import Digits, cut
from loopwright.lowering.schedules.schedule import CpuSchedule
from loopwright.lowering.schedules.stationary import is_stationary
from loopwright.lowering.schedules.winograd import WinogradContraction, cut_windows
from loopwright.targets.target import Target

ISSUED_PER_CYCLE = 2
CYCLES_PER_LOAD = 0.25
CYCLES_PER_TILE = 40
CYCLES_PER_TASK = 60
CYCLES_PER_STORE = 2
CACHED_BYTES_PER_CYCLE = 32
COLD_BYTES_PER_CYCLE = 8
CYCLES_PER_TRANSFORMED = 6
CYCLES_PER_BARRIER = 5000
CYCLES_PER_START = 4000
LIVE_VALUES_PER_REGISTER = 1.25
SPARE_REGISTERS = 2
STATIONARY_INPUTS = 2
CYCLES_PER_STATIONARY_TILE = 16
CYCLES_PER_STATIONARY_STORE = 1
FEW_UPDATES, MANY_UPDATES = 5000, 1600


@dataclass(frozen=True)
class Core:
    """Cycles from an addition to the next to the same vector, and how many times longer a tile that spills takes."""

    add_latency: float
    spill: float


MANY_REGISTERS = Core(add_latency=6, spill=2.5)
FEW_REGISTERS = Core(add_latency=5, spill=1.6)
"""Fitted to 179 tiles of ten operators on Zen 3: inputs are broadcast by instructions of their own there, so that what
does not fit is read again rather than spilled."""


@dataclass(frozen=True, eq=False)
class Tiling:
    """What a schedule comes to for a form: each contraction cut into digits, or into minimal filtering's."""

    form: OperatorForm
    schedule: CpuSchedule
    target: Target
    parts: tuple[Digits | WinogradContraction, ...]

    @classmethod
    def of(cls, form: OperatorForm, schedule: CpuSchedule, target: Target) -> Tiling:
        return cls._of(form, schedule, target, _filtered(form, schedule, target))

    @classmethod
    def by_filtering(cls, form: OperatorForm, schedule: CpuSchedule, target: Target) -> Tiling | None:
        """The same; ``None`` where minimal filtering applies to no contraction."""
        filtered = _filtered(form, schedule, target)
        return cls._of(form, schedule, target, filtered) if any(filtered) else None

    @classmethod
    def _of(
        cls, form: OperatorForm, schedule: CpuSchedule, target: Target, filtered: Sequence[WinogradContraction | None]
    ) -> Tiling:
        block = channel_block(form.input_shape[0], target.vector_lanes)
        pairs = zip(filtered, form.contractions, strict=True)
        return cls(form, schedule, target, tuple(part or cut(own, schedule, block) for part, own in pairs))

    @property
    def growth_bytes(self) -> list[int]:
        """What minimal filtering adds to the weights of each contraction that it applies to."""
        return [part.growth_bytes for part in self.parts if isinstance(part, WinogradContraction)]

    @property
    def cycles(self) -> float:
        """Cycles of one core for one image, summed over the contractions and divided among the threads."""
        target = replace(self.target, threads=1) if self.schedule.one_thread else self.target
        return sum(
            _filtered_cycles(part, target)
            if isinstance(part, WinogradContraction)
            else _cycles(part, _share_inside(self.form, part.contraction), target)
            for part in self.parts
        )

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """For every contraction lanes, channels, rows, columns, whether the reduction goes by the inputs, and whether
        one thread does all, or with minimal filtering lanes, channels, tiles, their size, and whether tasks share out
        channels."""
        return tuple(self._shape(part) for part in self.parts)

    def _shape(self, part: Digits | WinogradContraction) -> tuple[int, ...]:
        if isinstance(part, Digits):
            extents = (part.extent(kind) for kind in ("lane", "channel", "row", "column"))
            return (*extents, is_stationary(part), self.schedule.one_thread)
        held = tuple(part.digits.extent(kind) for kind in ("lane", "channel"))
        return (*held, part.tiles, part.filtering.size, part.by_channel)


def _filtered(form: OperatorForm, schedule: CpuSchedule, target: Target) -> list[WinogradContraction | None]:
    """The contractions that the schedule computes by minimal filtering; ``None`` for others."""
    block = channel_block(form.input_shape[0], target.vector_lanes)
    return [cut_windows(contraction, schedule, block) for contraction in form.contractions]


def _share_inside(form: OperatorForm, contraction: Contraction) -> float:
    """The share of instances that read from inside of the input; the others are left out."""
    return prod(
        _share_inside_axis(
            form.input_shape[axis],
            contraction.input_offset[axis],
            tuple((dim.input[axis], dim.extent) for dim in contraction.dims if dim.input[axis]),
        )
        for axis in (1, 2)
    )


@lru_cache(maxsize=1024)
def _share_inside_axis(size: int, offset: int, dims: tuple[tuple[int, int], ...]) -> float:
    """``dims`` are steps and extents."""
    read = np.array([offset])
    for step, extent in dims:
        read = (read[:, None] + step * np.arange(extent)).ravel()
    return float(((read >= 0) & (read < size)).mean())


def _filtered_cycles(filtered: WinogradContraction, target: Target) -> float:
    digits, tiles = filtered.digits, filtered.tiles
    held = digits.extent("channel")
    step = _step_cycles(held * tiles, held + tiles, target)
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


def _cycles(digits: Digits, share_inside: float, target: Target) -> float:
    tasks, walked = digits.extent("task"), digits.extent("walk")
    strips = _strip_widths(digits)
    steps = digits.extent("reduce") * digits.extent("tap")
    tiles = sum(
        count * _tile_cycles(digits, width, steps * share_inside, target) for width, count in Counter(strips).items()
    )
    compute = walked * tiles + CYCLES_PER_TASK
    weight_bytes = FLOAT_BYTES * steps * digits.extent("channel") * digits.extent("lane")
    streamed = tasks * walked * len(strips) * weight_bytes / CACHED_BYTES_PER_CYCLE
    cold = FLOAT_BYTES * prod(digits.contraction.weight_shape) / COLD_BYTES_PER_CYCLE
    rounds = -(-tasks // target.threads)
    start = CYCLES_PER_START if target.threads > 1 else 0
    run = max(rounds * compute, streamed / target.threads) + cold / target.threads + start
    updates = _updates(digits, len(strips))
    return run * (1 + updates / FEW_UPDATES + (updates / MANY_UPDATES) ** 2)


def _tile_cycles(digits: Digits, width: int, steps: float, target: Target) -> float:
    if is_stationary(digits):
        return _stationary_tile_cycles(digits, width, steps, target)
    channels, pixels = digits.extent("channel"), digits.extent("row") * width
    vectors, inputs = channels * pixels, digits.extent("row") * _input_columns(digits, width)
    loads = channels + inputs / _column_taps(digits)
    step = _step_cycles(vectors, loads, target)
    spill = _core(target).spill if _spills(digits, vectors, inputs, target) else 1.0
    return steps * step * spill + CYCLES_PER_TILE + vectors * CYCLES_PER_STORE


def _stationary_tile_cycles(digits: Digits, width: int, steps: float, target: Target) -> float:
    """Weights that don't stay in registers are operands in memory."""
    vectors, inputs = digits.extent("row") * width, _input_rows(digits) * _input_columns(digits, width)
    held = vectors + STATIONARY_INPUTS
    reloads = 0 if held + digits.extent("tap") <= target.vector_registers else steps * vectors
    spill = _core(target).spill if held > target.vector_registers else 1.0
    compute = _step_cycles(steps * vectors, inputs + reloads, target)
    return compute * spill + CYCLES_PER_STATIONARY_TILE + vectors * CYCLES_PER_STATIONARY_STORE


def _spills(digits: Digits, vectors: int, inputs: int, target: Target) -> bool:
    """A single vector of channels takes its inputs from memory. More of them share the inputs in registers, and so do
    the kernel's columns."""
    channels, taps = digits.extent("channel"), _column_taps(digits)
    if channels == 1 or taps == 1:
        return vectors + taps * channels > target.vector_registers - SPARE_REGISTERS
    return vectors + channels + inputs > target.vector_registers * LIVE_VALUES_PER_REGISTER


def _step_cycles(updates: float, loads: float, target: Target) -> float:
    """Of one reduction step of a tile. Loads cost some time even where they could be hidden behind the updates."""
    return max(updates / ISSUED_PER_CYCLE + CYCLES_PER_LOAD * loads, _core(target).add_latency)


def _core(target: Target) -> Core:
    return FEW_REGISTERS if target.vector_registers < 32 else MANY_REGISTERS


def _column_taps(digits: Digits) -> int:
    """How many kernel columns are written out."""
    return _taps_along(digits, 2)


def _taps_along(digits: Digits, axis: int) -> int:
    return prod(d.extent for d in digits.of("tap") if digits.contraction.dims[d.dim].input[axis])


def _input_columns(digits: Digits, width: int) -> int:
    """Columns of the input that a row of the tile reads under all its kernel columns."""
    return _inputs_along(digits, "column", width, 2)


def _input_rows(digits: Digits) -> int:
    """Rows of the input that the tile reads under all kernel rows that are written out."""
    return _inputs_along(digits, "row", digits.extent("row"), 1)


def _inputs_along(digits: Digits, kind: str, count: int, axis: int) -> int:
    step = max((abs(digits.contraction.dims[d.dim].input[axis]) for d in digits.of(kind)), default=1)
    taps = _taps_along(digits, axis)
    return min((count - 1) * step + taps, count * taps)


def _updates(digits: Digits, strips: int) -> int:
    """Updates written out: a tile's, for each kind of ``strips``, twice where rows may lie outside."""
    taps, vectors = digits.extent("tap"), digits.extent("channel") * digits.extent("row") * digits.extent("column")
    tiled = {digit.dim for digit in digits.of("row") if digit.extent > 1}
    borders_known = not any(digit.dim in tiled for digit in digits.of("task", "walk"))
    return min(3, strips) * taps * vectors * (1 if borders_known or is_stationary(digits) else 2)


def _strip_widths(digits: Digits) -> list[int]:
    """Columns of every strip; one of width 1 where there are no columns."""
    strips, columns = digits.of("strip"), digits.extent("column")
    if not strips:
        return [1]
    total = digits.contraction.dims[strips[0].dim].extent
    return [min(columns, total - start) for start in range(0, total, columns)]
