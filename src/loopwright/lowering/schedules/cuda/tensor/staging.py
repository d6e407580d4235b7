"""What the threads of a block copy to shared memory together, ahead of its use.

Shared memory has the inputs of some rounds, each (block of channels, image, row, column, 16 channels), with zeros
outside of the images, and then the weights of some steps as they are packed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tvm import tirx

from loopwright.lowering.schedules.cuda.tensor.position import Position, all_of
from loopwright.lowering.schedules.cuda.tensor.ptx import copy_async
from loopwright.lowering.schedules.cuda.tensor.tiling import VECTOR, Tiling
from loopwright.lowering.schedules.cuda.tensor.window import BLOCK, CHANNEL, COLUMN, ROW
from loopwright.lowering.tir import Expression, inside, loop, sequence, unflatten


@dataclass(frozen=True)
class Staging:
    """Copies from ``x`` and the packed ``weight`` to ``shared``, whose shape is (vectors, 4)."""

    tiling: Tiling
    x: Any
    weight: Any
    shared: Any
    position: Position

    def ahead(self, step: Expression) -> tirx.Stmt:
        """Starts to copy what a step needs and the one before it does not have."""
        groups = self.tiling.sum.groups
        if groups == 1:
            return sequence([self._weights(step), self._input(step)])
        first = self._input(step // groups)
        return sequence([self._weights(step), tirx.IfThenElse(step % groups == 0, first, None)])

    def input_at(self, round_: Expression) -> Expression:
        """The first vector of the input of a round."""
        return round_ % self.tiling.input_buffers * (self.tiling.sum.depth * self.tiling.input_vectors)

    def weights_at(self, step: Expression) -> Expression:
        """The first vector of the weights of a step."""
        return self.tiling.staged_input + step % self.tiling.schedule.stages * self.tiling.sum.weight_vectors

    def _weights(self, step: Expression) -> tirx.Stmt:
        vectors = self.tiling.sum.weight_vectors
        first = (self.position.channel_tile * self.tiling.sum.steps + step) * vectors

        def copy(number: Expression) -> tirx.Stmt:
            place = tirx.BufferLoad(self.weight, [first + number, 0])
            return copy_async(tirx.BufferLoad(self.shared, [self.weights_at(step) + number, 0]), place, True)

        return self._shared_out("weight", vectors, copy)

    def _input(self, round_: Expression) -> tirx.Stmt:
        tiling = self.tiling
        vectors = BLOCK // VECTOR
        extents = [tiling.sum.depth, *tiling.read, vectors]

        def copy(number: Expression) -> tirx.Stmt:
            block, *pixel, vector = unflatten(number, extents)
            place, guard = self._source(round_ * tiling.sum.depth + block, pixel, vector * VECTOR)
            return copy_async(tirx.BufferLoad(self.shared, [self.input_at(round_) + number, 0]), place, guard)

        return self._shared_out("input", tiling.sum.depth * tiling.input_vectors, copy)

    def _source(self, block: Expression, pixel: list[Expression], lane: Expression) -> tuple[Any, bool | Expression]:
        """An element of the input, and whether it is one."""
        window = self.tiling.window
        first, offset = self.position.origin, window.contraction.input_offset
        image = first[0] + pixel[0]
        row = first[1] * window.stride[0] + pixel[1] + offset[ROW]
        column = first[2] * window.stride[1] + pixel[2] + offset[COLUMN]
        _, _, rows, columns, _ = map(int, self.x.shape)
        conditions = [] if self.tiling.n % self.tiling.tile.images == 0 else [image < self.tiling.n]
        conditions += [inside(row, rows), inside(column, columns)]
        place = [image, block + offset[CHANNEL] // BLOCK, row, column, lane]
        return tirx.BufferLoad(self.x, place), all_of(conditions)

    def _shared_out(self, name: str, count: int, copy: Callable[[Expression], tirx.Stmt]) -> tirx.Stmt:
        """All threads of the block copy some of ``count`` vectors."""
        threads = self.tiling.schedule.threads

        def turn(index: Expression) -> tirx.Stmt:
            number = index * threads + self.position.thread
            return copy(number) if count % threads == 0 else tirx.IfThenElse(number < count, copy(number), None)

        return loop(name, -(-count // threads), turn)
