"""The tensor that a kernel's results go to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm import tirx

from loopwright.lowering.schedules.vectors import Place
from loopwright.lowering.tir import Expression, ramp


@dataclass(frozen=True)
class Result:
    """``buffer``, or its blocks of channels from number ``first_block`` on: places count from there."""

    buffer: Any
    first_block: Expression | None = None

    @property
    def block(self) -> int:
        """Channels of a block."""
        return int(self.buffer.shape[4])

    def load(self, place: Place, lanes: int) -> Expression:
        """``lanes`` values from ``place`` (image, block, row, column, first lane) on."""
        return tirx.BufferLoad(self.buffer, self._stored(place, lanes))

    def store(self, value: Expression, place: Place, lanes: int) -> tirx.Stmt:
        """Writes ``lanes`` values."""
        return tirx.BufferStore(self.buffer, value, self._stored(place, lanes))

    def _stored(self, place: Place, lanes: int) -> list[Expression]:
        image, block, *pixel, lane = place
        return [image, block if self.first_block is None else block + self.first_block, *pixel, ramp(lane, lanes)]
