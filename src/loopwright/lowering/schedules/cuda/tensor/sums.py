"""The sums of one warp's tile, in the registers of its threads, and what is added to them.

A thread has, of each fragment of 16 pixels, two rows, and of each 16 output channels four neighbouring ones. Of the left
factor it reads vectors of four input channels of a pixel, and of the right one four input channels of an output channel:
two instructions' worth (`loopwright.lowering.schedules.cuda.tensor.packing`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from tvm import tirx

from loopwright.lowering.schedules.cuda.tensor.position import Position
from loopwright.lowering.schedules.cuda.tensor.ptx import multiply_add
from loopwright.lowering.schedules.cuda.tensor.schedule import WARP
from loopwright.lowering.schedules.cuda.tensor.staging import Staging
from loopwright.lowering.schedules.cuda.tensor.tiling import COLUMNS, ROWS, VECTOR, Tiling
from loopwright.lowering.schedules.cuda.tensor.window import BLOCK
from loopwright.lowering.tir import Expression, ramp, zero

HALVES = 2


@dataclass(frozen=True)
class Sums:
    """``sums`` are float32 of (fragment, half, sixteen channels, 4); ``left`` and ``right`` hold what is multiplied
    next, and ``places`` where the thread's pixels lie in the staged input."""

    tiling: Tiling
    sums: Any
    left: Any
    right: Any
    places: Any

    @classmethod
    def of(cls, tiling: Tiling) -> Sums:
        """Fresh registers."""
        fragments, sixteens = tiling.schedule.pixels // ROWS, tiling.schedule.channels // COLUMNS
        return cls(
            tiling,
            tirx.decl_buffer((fragments, HALVES, sixteens, VECTOR), "float32", "sums", scope="local"),
            tirx.decl_buffer((fragments, HALVES, VECTOR), "uint32", "left", scope="local"),
            tirx.decl_buffer((HALVES, VECTOR), "uint32", "right", scope="local"),
            tirx.decl_buffer((fragments, HALVES), "int32", "places", scope="local"),
        )

    @property
    def vectors(self) -> Iterator[tuple[int, int, int]]:
        """The (fragment, half, sixteen channels) of all vectors of sums."""
        return product(*(range(int(extent)) for extent in self.sums.shape[:3]))

    @property
    def rows(self) -> Iterator[tuple[int, int]]:
        """The (fragment, half) of all the thread's pixels."""
        return product(*(range(int(extent)) for extent in self.places.shape))

    def begin(self, position: Position) -> Iterator[tirx.Stmt]:
        """Sums of zero, and the places of the thread's pixels."""
        yield from (tirx.AllocBuffer(buffer) for buffer in (self.sums, self.left, self.right, self.places))
        for vector in self.vectors:
            yield tirx.BufferStore(self.sums, zero(VECTOR), [*vector, ramp(0, VECTOR)])
        for own in self.rows:
            yield tirx.BufferStore(self.places, self._place(position, *own), list(own))

    def load(self, fragment: int, half: int, sixteen: int) -> Expression:
        """A vector of sums."""
        return tirx.BufferLoad(self.sums, [fragment, half, sixteen, ramp(0, VECTOR)])

    def add(self, step: Expression, staging: Staging, position: Position) -> Iterator[tirx.Stmt]:
        """Adds the products of this warp's share of a step."""
        own = self.tiling.sum
        for depth, tap in product(range(self.tiling.schedule.depth), range(own.taps)):
            block = position.share * self.tiling.schedule.depth + depth
            number = step % own.groups * own.taps + tap
            yield from self._read_left(staging.input_at(step // own.groups) + self._at_tap(block, number), staging)
            sixteens = self.tiling.schedule.block_channels // COLUMNS
            first = (block * own.taps + tap) * sixteens + position.channel_warp * int(self.sums.shape[2])
            for sixteen in range(int(self.sums.shape[2])):
                vector = (first + sixteen) * (HALVES * WARP) + position.lane
                yield from self._read_right(staging.weights_at(step) + vector, staging)
                yield from self._multiply(sixteen)

    def _place(self, position: Position, fragment: int, half: int) -> Expression:
        """Which vector of a staged block of channels the first tap of a pixel is; the first one for no pixel."""
        row = position.row(fragment, half)
        image, *pixel = position.pixel(row)
        _, rows, columns = self.tiling.read
        down, right = (at * stride for at, stride in zip(pixel, self.tiling.window.stride, strict=True))
        place = ((image * rows + down) * columns + right) * (BLOCK // VECTOR) + position.quarter
        conditions = position.exists(row)
        return tirx.if_then_else(conditions[0], place, 0) if conditions else place

    def _at_tap(self, block: Expression, tap: Expression) -> Expression:
        """How many vectors further a tap of a block of channels lies."""
        _, _, columns = self.tiling.read
        wide = self.tiling.window.kernel[1]
        down, right = self.tiling.window.dilation
        return block * self.tiling.input_vectors + (tap // wide * down * columns + tap % wide * right) * (BLOCK // VECTOR)

    def _read_left(self, at: Expression, staging: Staging) -> Iterator[tirx.Stmt]:
        for own in self.rows:
            place = tirx.BufferLoad(self.places, list(own)) + at
            yield tirx.BufferStore(self.left, _vector(staging.shared, place), [*own, ramp(0, VECTOR)])

    def _read_right(self, at: Expression, staging: Staging) -> Iterator[tirx.Stmt]:
        for half in range(HALVES):
            vector = _vector(staging.shared, at + half * WARP)
            yield tirx.BufferStore(self.right, vector, [half, ramp(0, VECTOR)])

    def _multiply(self, sixteen: int) -> Iterator[tirx.Stmt]:
        """Adds to sixteen channels of all fragments; sums that follow each other differ, for an instruction takes long
        to give its own."""
        precision = self.tiling.schedule.precision
        for first, half, fragment in product((0, 2), range(HALVES), range(int(self.sums.shape[0]))):
            sums = [self._sum(fragment, row, sixteen, 2 * half + one) for row, one in product(range(HALVES), range(2))]
            left = [self._left(fragment, row, first + k) for k, row in product(range(2), range(HALVES))]
            right = [tirx.BufferLoad(self.right, [half, first + k]) for k in range(2)]
            yield multiply_add(precision, sums, left, right)

    def _sum(self, *at: int) -> Any:
        return tirx.BufferLoad(self.sums, list(at))

    def _left(self, *at: int) -> Any:
        return tirx.BufferLoad(self.left, list(at))


def _vector(shared: Any, place: Expression) -> Any:
    return tirx.BufferLoad(shared, [place, ramp(0, VECTOR)])
