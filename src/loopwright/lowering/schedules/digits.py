"""How a contraction's dims are cut into the loops of a kernel: every dim index is a sum of digits.

``lane`` digits make the vector, ``channel row column`` the register tile, ``task`` digits the parallel loop, ``walk``
and ``strip`` the rows and the tiles of a row that one task walks, and ``reduce`` (as loops) and ``tap`` (written out)
the reduction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from itertools import product
from math import gcd, prod

from loopwright.ir.affine import Affine, constant, var
from loopwright.ir.contraction import Contraction, Dim
from loopwright.ir.lattice import Point
from loopwright.lowering.schedules.schedule import CpuSchedule

TAPS_AT_MOST = 16
TASKS_AT_LEAST = 16
UPDATES_OF_A_TASK = 2048
"""Vector multiply-adds, below which the start of a task counts."""
WAIT_AT_MOST = Fraction(5, 4)
"""How much longer tasks may take that are not equally many for all threads, before others are shared out."""
PANEL_ELEMENTS = 1 << 15
"""Of a task's panel of its input, where more tasks make smaller ones: they then stay in the caches of a processor."""

Axes = tuple[Affine, Affine, Affine]


@dataclass(frozen=True)
class Digit:
    """``name`` counts ``extent`` values and moves dim number ``dim`` by ``step`` each."""

    name: str
    kind: str
    dim: int
    step: int
    extent: int


@dataclass(frozen=True)
class Digits:
    """A contraction cut into digits in the order of the loops, outermost first: tasks, reduction, register tile,
    lanes. The last strip may be narrower than the tile."""

    contraction: Contraction
    digits: tuple[Digit, ...]

    def of(self, *kinds: str) -> tuple[Digit, ...]:
        if len(kinds) == 1:
            return self._by_kind.get(kinds[0], ())
        return tuple(digit for digit in self.digits if digit.kind in kinds)

    def extent(self, kind: str) -> int:
        """The product of the extents of that kind."""
        return self._extents.get(kind, 1)

    @cached_property
    def _by_kind(self) -> dict[str, tuple[Digit, ...]]:
        found: dict[str, tuple[Digit, ...]] = {}
        for digit in self.digits:
            found[digit.kind] = (*found.get(digit.kind, ()), digit)
        return found

    @cached_property
    def _extents(self) -> dict[str, int]:
        return {kind: prod(digit.extent for digit in own) for kind, own in self._by_kind.items()}

    @cached_property
    def input_axes(self) -> Axes:
        """Channel, row and column of the input that an instance reads, over the digits."""
        return self.combine(tuple(dim.input for dim in self.contraction.dims), self.contraction.input_offset)

    @cached_property
    def output_axes(self) -> Axes:
        """Channel, row and column of the output that an instance adds to, over the digits."""
        return self.combine(tuple(dim.output for dim in self.contraction.dims), self.contraction.output_offset)

    def combine(self, steps: tuple[Point, ...], offset: Point) -> Axes:
        """``offset + sum(index of dim k * steps[k])`` for channel, row and column, over the digits."""
        channel, row, column = (self._along(axis, steps, offset) for axis in range(3))
        return channel, row, column

    def _along(self, axis: int, steps: tuple[Point, ...], offset: Point) -> Affine:
        terms = (var(digit.name) * (digit.step * steps[digit.dim][axis]) for digit in self.digits)
        return sum(terms, constant(offset[axis]))

    def lane_offsets(self, steps: Iterable[int]) -> tuple[int, ...]:
        """What each lane adds, where ``steps`` has the step of every dim."""
        by_dim = tuple(steps)
        offsets = [0]
        for digit in self.of("lane"):
            step = digit.step * by_dim[digit.dim]
            offsets = [offset + i * step for offset in offsets for i in range(digit.extent)]
        return tuple(offsets)

    def first_lane(self, axes: Axes) -> Axes:
        """The place of the first lane."""
        zeros = {digit.name: constant(0) for digit in self.of("lane")}
        channel, row, column = (axis.substitute(zeros) for axis in axes)
        return channel, row, column

    @property
    def in_weight(self) -> tuple[Digit, ...]:
        """The digits that address the weight, in the order in which it is packed."""
        return tuple(digit for digit in self.digits if self.contraction.dims[digit.dim].in_weight)


def loops(digits: Digits) -> tuple[Digit, ...]:
    """The reduction digits down to the last one that is a loop."""
    reduction = digits.of("reduce", "tap")
    last = max((i for i, digit in enumerate(reduction) if digit.kind == "reduce"), default=-1)
    return reduction[: last + 1]


def tap_points(digits: Digits) -> Iterator[dict[str, int]]:
    """All points of the reduction digits inside of the last loop."""
    taps = digits.of("reduce", "tap")[len(loops(digits)) :]
    for point in product(*(range(digit.extent) for digit in taps)):
        yield {digit.name: number for digit, number in zip(taps, point, strict=True)}


def cut(contraction: Contraction, schedule: CpuSchedule, input_block: int, panel_threads: int = 0) -> Digits:
    """The digits of ``contraction`` under ``schedule``, reading activations in blocks of ``input_block`` channels. With
    ``panel_threads`` each task has a panel of its input, and there are tasks for so many threads."""
    return Digits(contraction, tuple(_CpuCutter(contraction.dims, schedule, input_block, panel_threads).digits()))


@lru_cache(maxsize=4096)
def largest_divisor(extent: int, bound: int) -> int:
    """The largest divisor of ``extent`` that is at most ``bound``."""
    return max(divisor for divisor in range(1, min(extent, bound) + 1) if extent % divisor == 0)


def vector_divisor(extent: int, bound: int) -> int:
    """The largest power of two that divides ``extent``, at most ``bound``; for odd extents the largest divisor."""
    power = gcd(extent, 1 << (bound.bit_length() - 1))
    return power if power > 2 or power == extent else largest_divisor(extent, bound)


def is_reduction(dim: Dim) -> bool:
    """True when all its instances write the same output."""
    return not any(dim.output)


class Cutter:
    """Takes the inner digits of each dim one after the other; ``left`` is what remains of every dim. Vectors have at
    most ``lanes`` output channels, and the register tile ``channels`` of them; an input has ``input_block`` channels
    side by side."""

    def __init__(self, dims: tuple[Dim, ...], lanes: int, channels: int, input_block: int):
        self.dims, self.input_block = dims, input_block
        self._most_lanes, self._most_channels = lanes, channels
        self.left = [dim.extent for dim in dims]
        self.step = [1] * len(dims)

    def _take(self, k: int, kind: str, factor: int) -> Digit:
        digit = Digit(f"{kind}{k}_{self.step[k]}", kind, k, self.step[k], factor)
        self.left[k], self.step[k] = -(-self.left[k] // factor), self.step[k] * factor
        return digit

    def _rest(self, k: int, kind: str) -> Digit:
        return self._take(k, kind, self.left[k])

    def _lanes(self) -> list[Digit]:
        """Dims in the order of their steps over output channels, while whole dims fit, their extents are powers of two,
        and rows and columns stay."""
        channels = [k for k, dim in enumerate(self.dims) if dim.in_weight and dim.output[0] and not any(dim.output[1:])]
        taken, lanes = [], self._most_lanes
        for k in sorted(channels, key=lambda k: abs(self.dims[k].output[0])):
            factor = vector_divisor(self.left[k], lanes)
            if any(self.dims[k].input[1:]) or factor == 1:
                break
            taken.append(self._take(k, "lane", factor))
            lanes //= factor
            if self.left[k] > 1 or factor & (factor - 1):
                break
        return taken

    def _channels(self) -> list[Digit]:
        for k, dim in enumerate(self.dims):
            factor = largest_divisor(self.left[k], self._most_channels)
            if dim.role == "out" and dim.output[0] and factor > 1:
                return [self._take(k, "channel", factor)]
        return []

    def _pixels(self, axis: int, other: int) -> list[int]:
        """The dims without weight that move along ``axis`` and neither along ``other`` nor the channels, the longest
        first."""
        pixels = [k for k, dim in enumerate(self.dims) if dim.output[axis] and not dim.in_weight]
        moving = [k for k in pixels if not any(self.dims[k].input[a] or self.dims[k].output[a] for a in (0, other))]
        return sorted(moving, key=lambda k: -self.dims[k].extent)

    def _in_block(self, k: int) -> int:
        step = abs(self.dims[k].input[0]) or 1
        places = self.input_block // gcd(step, self.input_block)
        return gcd(self.left[k], places)


class _CpuCutter(Cutter):
    """The digits of a `CpuSchedule`."""

    def __init__(self, dims: tuple[Dim, ...], schedule: CpuSchedule, input_block: int, panel_threads: int):
        super().__init__(dims, schedule.lanes, schedule.channels, input_block)
        self.schedule, self.panel_threads = schedule, panel_threads

    def digits(self) -> list[Digit]:
        lanes = list(reversed(self._lanes()))
        mixed = any(any(self.dims[digit.dim].input) for digit in lanes)
        tile = [*self._channels(), *self._rows(), *self._columns()]
        reduction = self._reduction(mixed)
        space = [k for k, dim in enumerate(self.dims) if not is_reduction(dim)]
        weights_first = not self._pixels_first()
        ordered = sorted(space, key=lambda k: (self.dims[k].in_weight != weights_first, self.dims[k].output[0] == 0))
        if self.panel_threads:
            walk = self._walk_panel(space)
        else:
            walk = self._walk(space, prod(digit.extent for digit in (*reduction, *tile)))
        tasks = [self._rest(k, "task") for k in ordered if self.left[k] > 1]
        return [*tasks, *walk, *reduction, *tile, *lanes]

    def _pixels_first(self) -> bool:
        """Whether threads share out pixels before channels: where weights look at single pixels, and these outnumber
        the output channels, so that threads read less in common when each reads some of the pixels, likely those that
        it has written itself."""
        single = not any(any(dim.input[1:]) for dim in self.dims if dim.in_weight)
        return single and self._outputs(weights=False) > self._outputs(weights=True)

    def _outputs(self, *, weights: bool) -> int:
        """How many outputs the dims with, or without, weight make."""
        return prod(dim.extent for dim in self.dims if any(dim.output) and dim.in_weight == weights)

    def _walk(self, space: list[int], updates: int) -> list[Digit]:
        """Rows that one task walks, where tiles are so small that to start a task for each would count."""
        rows = [k for k in self._pixels(1, 2) if self.left[k] > 1]
        if not rows or updates >= UPDATES_OF_A_TASK:
            return []
        others = prod(self.left[k] for k in space if k != rows[0])
        wanted = min(-(-UPDATES_OF_A_TASK // updates), self.left[rows[0]] * others // TASKS_AT_LEAST)
        factor = largest_divisor(self.left[rows[0]], max(1, wanted))
        return [self._take(rows[0], "walk", factor)] if factor > 1 else []

    def _walk_panel(self, space: list[int]) -> list[Digit]:
        """All channels of the pixels in a task's panel, or where channels outnumber the pixels, so that sharing out the
        weights saves more than sharing out the input, all pixels for the channels of a task."""
        weights = [k for k in space if self.dims[k].in_weight]
        pixels = [k for k in space if k not in weights]
        sides = (pixels, weights) if self._pixels_first() else (weights, pixels)
        waits = [self._least_wait(max((self.left[k] for k in side), default=1)) for side in sides]
        shared = sides[0] if waits[0] <= max(WAIT_AT_MOST, waits[1]) else sides[1]
        longest = max(shared, key=lambda k: self.left[k], default=None)
        elements = prod(dim.extent for dim in self.dims if any(dim.input)) if shared is pixels else 0
        walked = []
        for k in (*weights, *pixels):
            tasks = self._tasks_with_panels(self.left[k], elements) if k == longest else 1
            walked.append(self._take(k, "walk", self.left[k] // tasks))
        return [digit for digit in walked if digit.extent > 1]

    def _tasks_with_panels(self, extent: int, elements: int) -> int:
        """Into how many tasks to divide a loop, so that threads wait little for each other and the tasks' panels, of
        ``elements`` in all, stay small."""
        least = self._least_wait(extent)
        counts = [n for n in range(1, extent + 1) if extent % n == 0 and self._wait(n) == least]
        return next((count for count in counts if elements <= count * PANEL_ELEMENTS), counts[-1])

    def _least_wait(self, extent: int) -> Fraction:
        return min(self._wait(count) for count in range(1, extent + 1) if extent % count == 0)

    def _wait(self, tasks: int) -> Fraction:
        """The time of so many equal tasks on all threads, over what it would be if no thread had to wait."""
        rounds = -(-tasks // self.panel_threads)
        return Fraction(rounds * self.panel_threads, tasks)

    def _rows(self) -> list[Digit]:
        for k in self._pixels(1, 2):
            return [self._take(k, "row", largest_divisor(self.left[k], self.schedule.rows))]
        return []

    def _columns(self) -> list[Digit]:
        for k in self._pixels(2, 1):
            column = self._take(k, "column", min(self.left[k], self.schedule.columns))
            return [self._rest(k, "strip"), column]
        return []

    def _reduction(self, mixed: bool) -> list[Digit]:
        """Channels over blocks, kernel rows, channels in a block, kernel columns. Where lanes read different channels
        (``mixed``) the channels in a block are written out, so that their places in a vector are known."""
        reduced = [k for k, dim in enumerate(self.dims) if is_reduction(dim)]
        columns = [k for k in reduced if self.dims[k].input[2]]
        rows = [k for k in reduced if self.dims[k].input[1] and k not in columns]
        channels = [k for k in reduced if k not in columns and k not in rows]
        unroll_channels = mixed and prod(self.left[k] for k in channels) <= TAPS_AT_MOST
        places = [(k, self._in_block(k)) for k in channels]
        inner = [self._take(k, "tap" if unroll_channels else "reduce", count) for k, count in places if count > 1]
        outer = [self._rest(k, "reduce") for k in channels if self.left[k] > 1]
        kernel_rows = [self._rest(k, "tap" if self.schedule.unroll_rows else "reduce") for k in rows]
        return [*outer, *kernel_rows, *inner, *(self._rest(k, "tap") for k in columns)]
