"""The reduction of one register tile, with reads outside of the input left out.

    for reduce:
      for tap, row, column, channel:      (written out)
        tile[channel, row, column] += x[row, column, tap] * weight[tap, channel]

Rows outside of the input are skipped as soon as the loops around decide the row: by a branch around the loops inside,
with a second copy of these where only some rows of the tile are outside. Columns are decided when code is generated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from tvm import tirx

from loopwright.lowering.schedules.asking import Asking
from loopwright.lowering.schedules.digits import Digit, Digits, loops, tap_points
from loopwright.lowering.schedules.fetching import Fetching
from loopwright.lowering.schedules.packing import packed_vector
from loopwright.lowering.schedules.registers import Registers
from loopwright.lowering.schedules.scope import Scope
from loopwright.lowering.schedules.source import Source
from loopwright.lowering.tir import Expression, loop, prefetch, ramp, sequence, unrolled

Guards = Mapping[int, bool | Expression]


@dataclass(frozen=True)
class Reduction:
    """Adds the products of all reduction digits to ``tile``, of which ``width`` columns are used, and asks for what the
    next tile reads."""

    digits: Digits
    source: Source
    weight: Any
    tile: Registers
    width: int
    fetching: Fetching
    asking: Asking | None = None

    def statement(self, scope: Scope) -> tirx.Stmt:
        return self._nest(scope, loops(self.digits), None, self.asking)

    def _nest(self, scope: Scope, levels: tuple[Digit, ...], rows: Guards | None, asking: Asking | None) -> tirx.Stmt:
        if asking is not None and asking.knows_lines(levels):
            return sequence([*asking.statements(scope, levels), self._nest(scope, levels, rows, None)])
        if rows is None and scope.fix(self._row(0)).decides(self.source.axes[1]):
            return self._guarded(scope, levels, asking)
        if not levels:
            points = list(tap_points(self.digits))
            steps = (self._point(scope.fix(taps), rows, k, len(points)) for k, taps in enumerate(points))
            return sequence([part for step in steps for part in step])
        digit, inner = levels[0], levels[1:]
        if digit.kind == "tap":
            return sequence([self._nest(scope.fix({digit.name: i}), inner, rows, asking) for i in range(digit.extent)])
        return loop(digit.name, digit.extent, lambda i: self._nest(scope.bind(digit, i), inner, rows, asking))

    def _guarded(self, scope: Scope, levels: tuple[Digit, ...], asking: Asking | None) -> tirx.Stmt:
        """The nest for the rows that lie inside, now that they are decided."""
        guards = {row: guard for row, guard in self._row_guards(scope).items() if guard is not False}
        conditions = [guard for guard in guards.values() if guard is not True]
        if not guards:
            return tirx.Evaluate(0)
        all_inside = self._nest(scope, levels, dict.fromkeys(guards, True), asking)
        if not conditions:
            return all_inside
        some_inside = self._nest(scope, levels, guards, asking) if len(guards) > 1 else None
        return tirx.IfThenElse(tirx.all(*conditions), all_inside, some_inside)

    def _row_guards(self, scope: Scope) -> dict[int, bool | Expression]:
        bound, axis = self.source.rows, self.source.axes[1]
        return {row: scope.fix(self._row(row)).check(axis, bound) for row in range(self.digits.extent("row"))}

    def _point(self, scope: Scope, rows: Guards | None, number: int, points: int) -> Iterator[tirx.Stmt]:
        """The updates of one reduction point, row by row."""
        for vector in self.fetching.vectors(number, points):
            yield prefetch(tirx.BufferLoad(self.weight, [scope.value(vector), 0]))
        for row, guard in (self._row_guards(scope) if rows is None else rows).items():
            parts = list(self._row_updates(scope.fix(self._row(row)), row)) if guard is not False else []
            if parts:
                yield sequence(parts) if guard is True else tirx.IfThenElse(guard, sequence(parts), None)

    def _row_updates(self, scope: Scope, row: int) -> Iterator[tirx.Stmt]:
        """Runs of columns inside become one unrolled loop; a column that may be outside is tested on its own."""
        for start, stop, guard in column_runs(self.digits, self.source, scope, self.width):
            yield unrolled("column", start, stop, partial(self._column, scope, row, guard))

    def _column(self, scope: Scope, row: int, guard: bool | Expression, column: Expression) -> tirx.Stmt:
        for digit in self.digits.of("column"):
            scope = scope.bind(digit, column)
        value = self.source.load(self.digits, scope)  # the same for every channel of the tile
        updates = [self._update(self._at_channel(scope, c), value, c, row, column) for c in range(self.tile.channels)]
        return sequence(updates) if guard is True else tirx.IfThenElse(guard, sequence(updates), None)

    def _update(self, scope: Scope, value: Expression, channel: int, row: int, column: Expression) -> tirx.Stmt:
        place = [scope.value(packed_vector(self.digits)), ramp(0, self.tile.lanes)]
        product = value * tirx.BufferLoad(self.weight, place)
        return self.tile.store(self.tile.load(channel, row, column) + product, channel, row, column)

    def _at_channel(self, scope: Scope, channel: int) -> Scope:
        return scope.fix({digit.name: channel for digit in self.digits.of("channel")})

    def _row(self, row: int) -> dict[str, int]:
        return {digit.name: row for digit in self.digits.of("row")}


def column_runs(
    digits: Digits, source: Source, scope: Scope, width: int
) -> Iterator[tuple[int, int, bool | Expression]]:
    """The columns of a tile whose reads are not surely outside of the images, as (start, stop, guard)."""
    start, columns = 0, digits.of("column")
    scopes = (scope.fix({digit.name: column for digit in columns}) for column in range(width))
    guards = [own.check(source.axes[2], source.columns) for own in scopes]
    for column, guard in enumerate(guards):
        if guard is not True:
            yield from ((start, column, True),) if start < column else ()
            yield from ((column, column + 1, guard),) if guard is not False else ()
            start = column + 1
    if start < width:
        yield start, width, True
