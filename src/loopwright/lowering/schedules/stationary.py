"""The reduction of one register tile by its inputs: each is loaded once, and added to every output that it belongs to.

    for input row, input column:        (written out)
      for row, column that read it:
        tile[row, column] += x[input row, input column] * weight[tap]

This is for tiles of one vector of channels and reductions without loops, such as those of depthwise convolutions: few
products belong to an output, and to load an input for each would cost as much as the multiply-adds. Weights do not
depend on the tile's place, so that the compiler keeps them in registers for all tiles of a task. Input rows that may
lie outside are tested once each, around all that they are added to, and come first: all others then are one stretch of
code without branches, over which the compiler moves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, product
from typing import Any

from tvm import tirx

from loopwright.ir.affine import Affine
from loopwright.lowering.schedules.digits import Axes, Digits, tap_points
from loopwright.lowering.schedules.packing import packed_vector
from loopwright.lowering.schedules.registers import Registers
from loopwright.lowering.schedules.scope import Scope
from loopwright.lowering.schedules.source import Source
from loopwright.lowering.tir import Expression, ramp, sequence


def is_stationary(digits: Digits) -> bool:
    """Whether the reduction of ``digits`` goes by its inputs."""
    return not digits.of("reduce") and digits.extent("channel") == 1


@dataclass(frozen=True)
class Update:
    """One product: the ``row`` and ``column`` of its output in the tile, what is known of the digits there, and the
    channel, row and column of its input."""

    row: int
    column: int
    scope: Scope
    axes: Axes


Part = Callable[[list[Update]], tirx.Stmt]


@dataclass(frozen=True)
class Stationary:
    """Adds the products of all taps to ``tile``, of which ``width`` columns are used."""

    digits: Digits
    source: Source
    weight: Any
    tile: Registers
    width: int

    def statement(self, scope: Scope) -> tirx.Stmt:
        rows = _groups(self._updates(scope), lambda update: update.axes[1])
        tested_first = sorted(rows, key=lambda updates: self._row_guard(updates) is True)
        return sequence([part for own in tested_first for part in _guarded(self._row_guard(own), own, self._row)])

    def _updates(self, scope: Scope) -> Iterator[Update]:
        """All products of the tile."""
        for taps, row, column in product(tap_points(self.digits), range(self.tile.rows), range(self.width)):
            place = {digit.name: row for digit in self.digits.of("row")}
            place |= {digit.name: column for digit in self.digits.of("column")}
            own = scope.fix({**taps, **place})
            channel, *pixel = (own.resolve(axis) for axis in self.source.axes)
            yield Update(row, column, own, (channel, *pixel))  # type: ignore[arg-type]

    def _row_guard(self, updates: list[Update]) -> bool | Expression:
        return updates[0].scope.check(updates[0].axes[1], self.source.rows)

    def _row(self, updates: list[Update]) -> tirx.Stmt:
        """All products of one row of the input."""
        inputs = _groups(updates, lambda update: (update.axes[2], update.axes[0]))
        guards = (own[0].scope.check(own[0].axes[2], self.source.columns) for own in inputs)
        return sequence(
            [part for guard, own in zip(guards, inputs, strict=True) for part in _guarded(guard, own, self._input)]
        )

    def _input(self, updates: list[Update]) -> tirx.Stmt:
        """All products of one input, which is held in a register."""
        held, place = tirx.decl_buffer((1, self.tile.lanes), "float32", "held"), [0, ramp(0, self.tile.lanes)]
        read = tirx.BufferStore(held, self.source.load(self.digits, updates[0].scope), place)
        value = tirx.BufferLoad(held, place)
        return sequence([tirx.AllocBuffer(held), read, *(self._update(update, value) for update in updates)])

    def _update(self, update: Update, value: Expression) -> tirx.Stmt:
        place = [update.scope.value(packed_vector(self.digits)), ramp(0, self.tile.lanes)]
        total = self.tile.load(0, update.row, update.column) + value * tirx.BufferLoad(self.weight, place)
        return self.tile.store(total, 0, update.row, update.column)


def _groups(updates: Iterable[Update], key: Callable[[Update], Any]) -> list[list[Update]]:
    """Updates of equal ``key`` together, by the places of their inputs: those of a tile differ in constants."""
    ordered = sorted(updates, key=lambda update: [_order(axis) for axis in (*update.axes[1:], update.axes[0])])
    return [list(own) for _, own in groupby(ordered, key=key)]


def _order(axis: Affine) -> tuple[str, int]:
    return str(axis - axis.constant), axis.constant


def _guarded(guard: bool | Expression, updates: list[Update], part: Part) -> Iterator[tirx.Stmt]:
    """The part where ``guard`` holds; nothing where it never does."""
    if guard is not False:
        statement = part(updates)
        yield statement if guard is True else tirx.IfThenElse(guard, statement, None)
