"""One contraction as a parallel loop over register tiles.

parallel task:
  for row, strip:                     (strips that meet the input's border have code of their own)
    tile[channel, row, column] = 0    (vectors of lanes, in registers)
    tile += reduction
    out[...] = epilogue(tile)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import product
from typing import Any

from tvm import tirx
from tvm.tirx import ForKind

from loopwright.lowering.schedules.asking import asking
from loopwright.lowering.schedules.digits import Digit, Digits, tap_points
from loopwright.lowering.schedules.fetching import Fetching
from loopwright.lowering.schedules.panel import Panel
from loopwright.lowering.schedules.placement import Placement
from loopwright.lowering.schedules.reduction import Reduction, column_runs
from loopwright.lowering.schedules.registers import Registers, registers
from loopwright.lowering.schedules.scope import Scope
from loopwright.lowering.schedules.source import Source
from loopwright.lowering.schedules.stationary import Stationary, is_stationary
from loopwright.lowering.schedules.vectors import Lanes, Place, whole_vector
from loopwright.lowering.tir import Expression, fused, loop, ramp, sequence, unrolled, zero

Store = Callable[[Expression, Place, int], tirx.Stmt]


@dataclass(frozen=True)
class Begun:
    """Another way to the same results: sums that begin with ``first(place, lanes)`` rather than 0, and ``store`` for
    such sums."""

    first: Callable[[Place, int], Expression]
    store: Store


@dataclass(frozen=True)
class TileKernel:
    """The kernel of one contraction for ``n`` images; ``store(value, place, lanes)`` writes a result to each of its
    ``placements`` in an output of ``out_block`` channels a block. With a ``panel`` tasks read that instead of ``x``.
    ``begun`` is followed where lanes allow it. With ``one_thread`` tasks are not shared out; with ``asks`` tiles ask
    for the input of the next."""

    digits: Digits
    n: int
    x: Any
    weight: Any
    placements: tuple[Placement, ...]
    out_block: int
    store: Store
    fetching: Fetching
    panel: Panel | None = None
    begun: Begun | None = None
    one_thread: bool = False
    asks: bool = False

    def statement(self) -> tirx.Stmt:
        tasks = self.digits.of("task")
        kind = ForKind.SERIAL if self.one_thread else ForKind.PARALLEL
        return fused("task", [self.n, *(digit.extent for digit in tasks)], lambda at: self._task(tasks, at), kind)

    def _task(self, tasks: tuple[Digit, ...], at: tuple[Expression, ...]) -> tirx.Stmt:
        scope = Scope(variables={"image": at[0]})
        for digit, index in zip(tasks, at[1:], strict=True):
            scope = scope.bind(digit, index)
        tile = registers(self.digits)
        ready = [] if self.panel is None else [self.panel.fill(scope)]
        return sequence([*ready, *tile.allocations(), self._walk(scope, self.digits.of("walk"), tile)])

    @cached_property
    def _source(self) -> Source:
        return Source(self.x, self.digits.input_axes) if self.panel is None else self.panel.source

    def _walk(self, scope: Scope, digits: tuple[Digit, ...], tile: Registers) -> tirx.Stmt:
        if not digits:
            return sequence(list(self._strips(scope, tile)))
        digit, *inner = digits
        return loop(digit.name, digit.extent, lambda i: self._walk(scope.bind(digit, i), tuple(inner), tile))

    def _strips(self, scope: Scope, tile: Registers) -> Iterator[tirx.Stmt]:
        strips = self.digits.of("strip")
        if not strips:
            yield self._strip(scope, tile, 1)
        for start, stop, width in strip_ranges(self.digits, self._source, scope):
            yield self._strip_loop(scope, tile, strips[0], start, stop, width)

    def _strip_loop(self, scope: Scope, tile: Registers, strip: Digit, start: int, stop: int, width: int) -> tirx.Stmt:
        def body(index: Expression) -> tirx.Stmt:
            return self._strip(scope.bind_range(strip, start, stop, index), tile, width)

        return loop("strip", stop - start, body)

    def _strip(self, scope: Scope, tile: Registers, width: int) -> tirx.Stmt:
        begun = self.begun if self._may_begin(scope) else None
        first = [zero(tile.lanes)] * tile.channels if begun is None else self._first(scope, begun)
        own = self if begun is None else replace(self, store=begun.store)
        return sequence(
            [*tile.fill(first), self._reduction(tile, width).statement(scope), *own._write(scope, tile, width)]
        )

    def _reduction(self, tile: Registers, width: int) -> Reduction | Stationary:
        if is_stationary(self.digits):
            return Stationary(self.digits, self._source, self.weight, tile, width)
        ahead = asking(self.digits, self._source) if self.asks else None
        return Reduction(self.digits, self._source, self.weight, tile, width, self.fetching, ahead)

    def _may_begin(self, scope: Scope) -> bool:
        """Whether all results go to one place, of lanes that lie together."""
        [copy, *others], channels = self._copies(), range(self.digits.extent("channel"))
        return not others and all(whole_vector(self.out_block, copy, scope.fix(self._at_channel(c))) for c in channels)

    def _first(self, scope: Scope, begun: Begun) -> list[Expression]:
        """What the sums of each channel begin with, wherever in the tile."""
        [copy], lanes = self._copies(), self.digits.extent("lane")
        corner = scope.fix({digit.name: 0 for digit in self.digits.of("row", "column")})
        scopes = [corner.fix(self._at_channel(channel)) for channel in range(self.digits.extent("channel"))]
        return [begun.first(copy.place(own, self.out_block, 0), lanes) for own in scopes]

    def _at_channel(self, channel: int) -> dict[str, int]:
        return {digit.name: channel for digit in self.digits.of("channel")}

    def _write(self, scope: Scope, tile: Registers, width: int) -> Iterator[tirx.Stmt]:
        """Stores all vectors of the tile. Lanes that do not lie together in the output are staged in memory and stored
        in a loop: taking them from registers one by one would be a lot of code."""
        for channel, row in product(range(tile.channels), range(tile.rows)):
            fixed = self._at_channel(channel) | {digit.name: row for digit in self.digits.of("row")}
            yield from self._write_row(scope.fix(fixed), tile, tile.array(channel, row), width)

    def _write_row(self, scope: Scope, tile: Registers, array: Any, width: int) -> Iterator[tirx.Stmt]:
        copies = [(lanes, whole_vector(self.out_block, lanes, scope)) for lanes in self._copies()]
        vectors = [lanes for lanes, whole in copies if whole]
        scattered = [lanes for lanes, whole in copies if not whole]
        if vectors:
            yield unrolled("column", 0, width, partial(self._store_vector, scope, array, vectors))
        if scattered:
            staged = tile.stage()
            yield from tile.copy(array, staged, width)
            yield loop("column", width, partial(self._store_lanes, scope, staged, scattered))

    def _store_vector(self, scope: Scope, array: Any, copies: list[Lanes], column: Expression) -> tirx.Stmt:
        scope, lanes = self._at_column(scope, column), self.digits.extent("lane")
        value = tirx.BufferLoad(array, [column, ramp(0, lanes)])
        return sequence([self.store(value, copy.place(scope, self.out_block, 0), lanes) for copy in copies])

    def _store_lanes(self, scope: Scope, array: Any, copies: list[Lanes], column: Expression) -> tirx.Stmt:
        scope = self._at_column(scope, column)
        lanes = range(self.digits.extent("lane"))
        values = [(tirx.BufferLoad(array, [column, lane]), copy, lane) for copy in copies for lane in lanes]
        return sequence([self.store(value, copy.place(scope, self.out_block, lane), 1) for value, copy, lane in values])

    def _at_column(self, scope: Scope, column: Expression) -> Scope:
        for digit in self.digits.of("column"):
            scope = scope.bind(digit, column)
        return scope

    def _copies(self) -> Iterator[Lanes]:
        return copies(self.digits, self.placements)


def copies(digits: Digits, placements: Iterable[Placement]) -> Iterator[Lanes]:
    """All places of a vector of results."""
    for placement in placements:
        offsets = digits.lane_offsets(step[0] for step in placement.steps)
        axes = digits.combine(placement.steps, placement.offset)
        yield Lanes(digits.first_lane(axes), offsets)


def strip_ranges(digits: Digits, source: Source, scope: Scope) -> Iterator[tuple[int, int, int]]:
    """Strips of a row as (start, stop, width), those together that have the same columns outside of the input."""
    for strip, column in product(digits.of("strip"), digits.of("column")):
        total = digits.contraction.dims[strip.dim].extent
        start, previous = 0, None
        for index in range(strip.extent + 1):
            width = min(column.extent, total - index * column.extent)
            alike = (width, _borders(digits, source, scope.fix({strip.name: index}), width))
            if previous is not None and alike != previous:
                yield start, index, previous[0]
                start = index
            previous = alike


def _borders(digits: Digits, source: Source, scope: Scope, width: int) -> tuple[tuple[tuple[int, int], ...], ...]:
    """For every tap the runs of columns that are not surely outside."""
    return tuple(
        tuple((start, stop) for start, stop, _ in column_runs(digits, source, scope.fix(taps), width))
        for taps in tap_points(digits)
    )
