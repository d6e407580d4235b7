"""The sums of one warp's tile, in the registers of its threads, and what is added to them.

The left factor are weights, 16 output channels by 8 input channels for an instruction in tf32 and by 16 for one in
bfloat16, the right one as many input channels by 8 pixels. A thread reads its part of the left one as a vector, and
with a vector of four input channels of a pixel its part of the right one, for two instructions in tf32, or rounded to
two pairs for one in bfloat16 (`loopwright.lowering.schedules.cuda.tensor.packing`): instructions want their factors in
neighbouring registers, as vectors are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

from tvm import tirx

from loopwright.lowering.schedules.cuda.tensor.position import Position
from loopwright.lowering.schedules.cuda.tensor.ptx import multiply_add, narrow
from loopwright.lowering.schedules.cuda.tensor.schedule import WARP
from loopwright.lowering.schedules.cuda.tensor.staging import Staging
from loopwright.lowering.schedules.cuda.tensor.tiling import CHANNELS, PIXELS, VECTOR, Tiling
from loopwright.lowering.schedules.cuda.tensor.window import BLOCK
from loopwright.lowering.schedules.digits import largest_divisor
from loopwright.lowering.tir import Expression, loop, ramp, sequence, zero
from loopwright.targets.target import BF16

SIXTEENS = 2
"""Of 32 output channels."""
PRODUCTS_AT_MOST = 256
"""Instructions that are written out, besides those that a single tap needs."""


@dataclass(frozen=True)
class Sums:
    """``sums`` are float32 of (32 channels, 8 pixels, sixteen channels, 4): the last are two rows, eight apart, by two
    neighbouring columns. ``left`` and ``right`` hold what is multiplied next, and ``places`` where the thread's pixels
    lie in the staged input."""

    tiling: Tiling
    sums: Any
    left: Any
    right: Any
    places: Any

    @classmethod
    def of(cls, tiling: Tiling) -> Sums:
        """Fresh registers."""
        channels, pixels = tiling.schedule.channels // CHANNELS, tiling.schedule.pixels // PIXELS
        return cls(
            tiling,
            tirx.decl_buffer((channels, pixels, SIXTEENS, VECTOR), "float32", "sums", scope="local"),
            tirx.decl_buffer((channels, SIXTEENS, _instructions(tiling), VECTOR), "uint32", "left", scope="local"),
            tirx.decl_buffer((VECTOR,), "uint32", "right", scope="local"),
            tirx.decl_buffer((pixels,), "int32", "places", scope="local"),
        )

    @property
    def instructions(self) -> int:
        """For 16 input channels."""
        return _instructions(self.tiling)

    @property
    def extents(self) -> tuple[int, int, int]:
        """32 channels, 8 pixels, and of these the thread's two."""
        channels, pixels, *_ = map(int, self.sums.shape)
        return channels, pixels, 2

    def begin(self, position: Position) -> Iterator[tirx.Stmt]:
        """Sums of zero, and the places of the thread's pixels."""
        yield from (tirx.AllocBuffer(buffer) for buffer in (self.sums, self.left, self.right, self.places))
        for own in product(*(range(int(extent)) for extent in self.sums.shape[:-1])):
            yield tirx.BufferStore(self.sums, zero(VECTOR), [*own, ramp(0, VECTOR)])
        for eight in range(self.extents[1]):
            yield tirx.BufferStore(self.places, self._place(position, eight), [eight])

    def vector(self, channels: int, pixels: int, column: int) -> Expression:
        """The sums of four neighbouring channels of one pixel."""
        own = [[channels, pixels, sixteen, 2 * row + column] for sixteen, row in product(range(SIXTEENS), range(2))]
        return tirx.Shuffle([tirx.BufferLoad(self.sums, at) for at in own], list(range(VECTOR)))

    def add(self, step: Expression, staging: Staging, position: Position) -> Iterator[tirx.Stmt]:
        """Adds the products of this warp's share of a step; some taps are written out."""
        taps = self.tiling.sum.taps
        products = self.instructions * SIXTEENS * prod(self.extents[:2])
        together = largest_divisor(taps, max(1, PRODUCTS_AT_MOST // products))

        def some(depth: Expression, first: Expression) -> tirx.Stmt:
            block = position.share * self.tiling.schedule.depth + depth
            own = [self._tap(step, block, first * together + tap, staging, position) for tap in range(together)]
            return sequence([statement for statements in own for statement in statements])

        groups = taps // together
        yield loop("block", self.tiling.schedule.depth, lambda d: loop("taps", groups, lambda g: some(d, g)))

    def _tap(
        self, step: Expression, block: Expression, tap: Expression, staging: Staging, position: Position
    ) -> Iterator[tirx.Stmt]:
        """Adds the products of one block of input channels and one tap of a step."""
        own = self.tiling.sum
        tiles = self.tiling.schedule.block_channels // CHANNELS
        first = (block * own.taps + tap) * tiles + position.channel_warp * self.extents[0]
        yield from self._read_left(staging, staging.weights_at(step), first, position.lane)
        at = staging.input_at(step // own.groups) + self._at_tap(block, step % own.groups * own.taps + tap)
        for eight in range(self.extents[1]):
            pixel = _vector(staging.shared, tirx.BufferLoad(self.places, [eight]) + at)
            yield tirx.BufferStore(self.right, pixel, [ramp(0, VECTOR)])
            if self.tiling.schedule.precision == BF16:
                yield from self._narrow()
            yield from self._multiply(eight)

    def _place(self, position: Position, eight: int) -> Expression:
        """Which vector of a staged block of channels the first tap of a pixel is; the first one for no pixel."""
        number = position.number(eight, position.row)
        image, *pixel = position.pixel(number)
        _, rows, columns = self.tiling.read
        down, right = (at * stride for at, stride in zip(pixel, self.tiling.window.stride, strict=True))
        place = ((image * rows + down) * columns + right) * (BLOCK // VECTOR) + position.column
        conditions = position.exists(number)
        return tirx.if_then_else(conditions[0], place, 0) if conditions else place

    def _at_tap(self, block: Expression, tap: Expression) -> Expression:
        """How many vectors further a tap of a block of channels lies."""
        _, _, columns = self.tiling.read
        wide = self.tiling.window.kernel[1]
        down, right = self.tiling.window.dilation
        return block * self.tiling.input_vectors + (tap // wide * down * columns + tap % wide * right) * (
            BLOCK // VECTOR
        )

    def _read_left(self, staging: Staging, at: Expression, first: Expression, lane: Expression) -> Iterator[tirx.Stmt]:
        """All weights of a tap and a block of input channels, which are number ``first`` of 32 output channels and the
        following ones behind ``at``."""
        for own in product(*(range(int(extent)) for extent in self.left.shape[:-1])):
            channels, sixteen, instruction = own
            number = ((first + channels) * SIXTEENS + sixteen) * self.instructions + instruction
            vector = _vector(staging.shared, at + number * WARP + lane)
            yield tirx.BufferStore(self.left, vector, [*own, ramp(0, VECTOR)])

    def _narrow(self) -> Iterator[tirx.Stmt]:
        """Rounds the four channels of a pixel to two pairs, in place."""
        values = [tirx.reinterpret("float32", tirx.BufferLoad(self.right, [k])) for k in range(VECTOR)]
        for pair in range(2):
            yield narrow(tirx.BufferLoad(self.right, [pair]), values[2 * pair], values[2 * pair + 1])

    def _multiply(self, eight: int) -> Iterator[tirx.Stmt]:
        """Adds to all channels of eight pixels; sums that follow each other differ, for an instruction takes long to
        give its own."""
        precision = self.tiling.schedule.precision
        for instruction, channels, sixteen in product(
            range(self.instructions), range(self.extents[0]), range(SIXTEENS)
        ):
            sums = [tirx.BufferLoad(self.sums, [channels, eight, sixteen, k]) for k in range(VECTOR)]
            left = [tirx.BufferLoad(self.left, [channels, sixteen, instruction, k]) for k in range(VECTOR)]
            right = [tirx.BufferLoad(self.right, [instruction * 2 + k]) for k in range(2)]
            yield multiply_add(precision, sums, left, right)


def _instructions(tiling: Tiling) -> int:
    return BLOCK // tiling.schedule.factors.channels


def _vector(shared: Any, place: Expression) -> Any:
    return tirx.BufferLoad(shared, [place, ramp(0, VECTOR)])
