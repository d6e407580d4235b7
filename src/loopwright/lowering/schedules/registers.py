"""The results of one tile, which the compiler keeps in vector registers.

Each (channel, row) has an array of its own: TVM puts plain arrays below 1024 bytes on the stack, whence LLVM moves them
to registers; larger ones, and those of scope "local", come from the heap and are written back at every branch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

from tvm import tirx

from loopwright.lowering.schedules.digits import Digits
from loopwright.lowering.tir import Expression, ramp, unrolled


@dataclass(frozen=True)
class Registers:
    """Vectors of ``lanes`` by channel, row and column; channel and row are numbers, the column any expression."""

    channels: int
    rows: int
    columns: int
    lanes: int
    arrays: tuple[Any, ...]

    def allocations(self) -> Iterator[tirx.Stmt]:
        return (tirx.AllocBuffer(array) for array in self.arrays)

    def stage(self) -> Any:
        """An array like that of one (channel, row), which stays in memory."""
        return tirx.decl_buffer((self.columns, self.lanes), "float32", "staged")

    def copy(self, array: Any, staged: Any, width: int) -> Iterator[tirx.Stmt]:
        """Allocates ``staged`` and fills it from ``array``."""
        yield tirx.AllocBuffer(staged)
        yield unrolled(
            "column", 0, width, lambda c: tirx.BufferStore(staged, tirx.BufferLoad(array, self._at(c)), self._at(c))
        )

    def fill(self, values: Sequence[Expression]) -> Iterator[tirx.Stmt]:
        """Sets all vectors of each channel to its value."""
        for channel, row in product(range(self.channels), range(self.rows)):
            yield unrolled("column", 0, self.columns, partial(self._set, self.array(channel, row), values[channel]))

    def _set(self, array: Any, value: Expression, column: Expression) -> tirx.Stmt:
        return tirx.BufferStore(array, value, self._at(column))

    def load(self, channel: int, row: int, column: Expression) -> Expression:
        return tirx.BufferLoad(self.array(channel, row), self._at(column))

    def store(self, value: Expression, channel: int, row: int, column: Expression) -> tirx.Stmt:
        return tirx.BufferStore(self.array(channel, row), value, self._at(column))

    def array(self, channel: int, row: int) -> Any:
        """The vectors of one (channel, row), by column."""
        return self.arrays[channel * self.rows + row]

    def _at(self, column: Expression) -> list[Expression]:
        return [column, ramp(0, self.lanes)]


def registers(digits: Digits, scope: str = "global") -> Registers:
    """Fresh arrays for the tile of ``digits``, in memory of that ``scope``."""
    channels, rows, columns, lanes = (digits.extent(kind) for kind in ("channel", "row", "column", "lane"))
    names = [f"tile_{channel}_{row}" for channel in range(channels) for row in range(rows)]
    arrays = [tirx.decl_buffer((columns, lanes), "float32", name, scope=scope) for name in names]
    return Registers(channels, rows, columns, lanes, tuple(arrays))
