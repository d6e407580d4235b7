"""What a tile asks for of the input of the tile to its right.

A tile reads a few lines of the cache from each block of channels, and these blocks lie far apart, so that a processor
does not see on its own what will be read next. So each tile asks, block by block, for the columns that the next one
reads and it does not. Behind the last column of a row lies the next row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from tvm import tirx

from loopwright.ir.lattice import Point
from loopwright.ir.loopnest import FLOAT_BYTES
from loopwright.lowering.schedules.digits import Digit, Digits
from loopwright.lowering.schedules.fetching import CACHED_BYTES, LINE_BYTES
from loopwright.lowering.schedules.scope import Scope
from loopwright.lowering.schedules.source import Source
from loopwright.lowering.schedules.vectors import Lanes
from loopwright.lowering.tir import prefetch


@dataclass(frozen=True)
class Asking:
    """Asks for parts of ``source``."""

    digits: Digits
    source: Source

    def knows_lines(self, levels: tuple[Digit, ...]) -> bool:
        """Whether a block of channels and a row of the input are chosen, but for the taps, outside of ``levels``."""
        return not any(digit.kind == "reduce" and self._moves(digit) for digit in levels)

    def statements(self, scope: Scope, levels: tuple[Digit, ...]) -> Iterator[tirx.Stmt]:
        """Asks for the columns of the next tile, at the last tap."""
        fixed = {digit.name: 0 for digit in levels}
        fixed |= {digit.name: digit.extent - 1 for digit in self.digits.of("tap") if digit.name not in scope.known}
        fixed |= {digit.name: 0 for digit in self.digits.of("channel", "lane")}
        width, [column] = self.digits.extent("column"), self.digits.of("column")
        for row in range(self.digits.extent("row")):
            rows = {digit.name: row for digit in self.digits.of("row")}
            for number in range(2 * width - 1, width - 1, -self._columns_of_a_line):
                at = scope.fix({**fixed, **rows, column.name: number})
                place = Lanes(self.digits.first_lane(self.source.axes), (0,)).place(at, self._block, 0)
                yield prefetch(tirx.BufferLoad(self.source.buffer, list(place)))

    @property
    def reads_blocks(self) -> bool:
        """Whether the reduction goes over several blocks of channels."""
        return any(self._moves(digit) and self._step(digit)[1] == 0 for digit in self.digits.of("reduce"))

    @property
    def _block(self) -> int:
        return int(self.source.buffer.shape[4])

    @property
    def _columns_of_a_line(self) -> int:
        """How many columns of a tile lie in one line."""
        steps = [dim.input[2] for dim in self.digits.contraction.of("pixel") if dim.output[2]]
        return max(1, LINE_BYTES // (FLOAT_BYTES * self._block * max(map(abs, steps), default=1)))

    def _moves(self, digit: Digit) -> bool:
        """Whether a digit chooses a row, or among blocks of channels."""
        channel, row, _ = self._step(digit)
        return row != 0 or abs(channel) * (digit.extent - 1) >= self._block

    def _step(self, digit: Digit) -> Point:
        return tuple(digit.step * step for step in self.digits.contraction.dims[digit.dim].input)


def asking(digits: Digits, source: Source) -> Asking | None:
    """Nothing is asked for where a row has one tile only or a tile reads one block of channels, or where an image stays
    in the innermost cache, as all that lies in a panel does."""
    ahead = Asking(digits, source)
    several = any(digit.extent > 1 for digit in digits.of("strip")) and ahead.reads_blocks
    image_bytes = FLOAT_BYTES * prod(int(extent) for extent in source.buffer.shape[1:])
    return ahead if several and image_bytes > CACHED_BYTES and source.image is None else None
