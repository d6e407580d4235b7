"""Where the sums of a warp's tile go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

from tvm import tirx

from loopwright.lowering.schedules.cuda.tensor.position import Position, all_of, within
from loopwright.lowering.schedules.cuda.tensor.ptx import barrier
from loopwright.lowering.schedules.cuda.tensor.sums import Sums
from loopwright.lowering.schedules.cuda.tensor.tiling import VECTOR, Tiling
from loopwright.lowering.schedules.cuda.tensor.window import CHANNEL
from loopwright.lowering.schedules.placement import Placement
from loopwright.lowering.schedules.tile import Store
from loopwright.lowering.schedules.vectors import Place
from loopwright.lowering.tir import Expression, loop, ramp, sequence, unflatten, zero


@dataclass(frozen=True)
class Results:
    """Stores ``values``, four output channels of a pixel, to all of their places."""

    tiling: Tiling
    position: Position
    placements: tuple[Placement, ...]
    out_block: int
    store: Store
    values: Any

    def store_all(self, sums: Sums) -> Iterator[tirx.Stmt]:
        """All sums of the thread."""
        for vector in product(*map(range, sums.extents)):
            yield tirx.BufferStore(self.values, sums.vector(*vector), [ramp(0, VECTOR)])
            yield self.store_values(vector)

    def store_values(self, vector: tuple[Expression, ...]) -> tirx.Stmt:
        """The values as those of the thread's (32 channels, 8 pixels, one of two), where there are such channels and
        pixels."""
        channels, eight, one = vector
        number, channel = self.position.number(eight, self.position.column * 2 + one), self.position.channel(channels)
        places = zip(self.position.origin, self.position.pixel(number), strict=True)
        image, row, column = (first + own for first, own in places)
        stores = [store for own in self.placements for store in self._stores(own, (image, row, column), channel)]
        guard = all_of([*self.position.exists(number), *self._in_output(image, row, column, channel)])
        return sequence(stores) if guard is True else tirx.IfThenElse(guard, sequence(stores), None)

    def _in_output(self, image: Expression, row: Expression, column: Expression, channel: Expression) -> list[Any]:
        tile, window = self.tiling.tile, self.tiling.window
        return [
            *within(image, self.tiling.n, tile.images),
            *within(row, window.size[0], tile.rows),
            *within(column, window.size[1], tile.columns),
            *within(channel, window.channels, self.tiling.schedule.block_channels),
        ]

    def _stores(self, placement: Placement, pixel: tuple[Expression, ...], channel: Expression) -> Iterator[tirx.Stmt]:
        """One for all four channels where they lie side by side."""
        width = VECTOR if self._side_by_side(placement) else 1
        for lane in range(0, VECTOR, width):
            value = tirx.BufferLoad(self.values, [ramp(lane, width)])
            stored = self.store(value, self._place(placement, pixel, channel + lane), width)
            missing = self.tiling.window.channels % VECTOR
            yield tirx.IfThenElse(channel + lane < self.tiling.window.channels, stored, None) if missing else stored

    def _side_by_side(self, placement: Placement) -> bool:
        window = self.tiling.window
        steps = [step[CHANNEL] for k, step in enumerate(placement.steps) if k != window.out]
        numbers = (window.channels, self.out_block, placement.offset[CHANNEL], *steps)
        return all(number % VECTOR == 0 for number in numbers) and placement.steps[window.out][CHANNEL] == 1

    def _place(self, placement: Placement, pixel: tuple[Expression, ...], channel: Expression) -> Place:
        image, row, column = pixel
        window = self.tiling.window
        numbers = {window.out: channel, window.pixels[0]: row, window.pixels[1]: column}
        place = list(placement.offset)
        for k, step in enumerate(placement.steps):
            place = [at if not by else at + numbers[k] * by for at, by in zip(place, step, strict=True)]
        return image, place[0] // self.out_block, place[1], place[2], place[0] % self.out_block


@dataclass(frozen=True)
class SharedSums:
    """Sums of warps that share a tile, in shared memory: (vector, share, thread, 4)."""

    tiling: Tiling
    position: Position
    shared: Any

    def add_up(self, sums: Sums, results: Results) -> Iterator[tirx.Stmt]:
        """Each of the warps that share a tile adds up and stores some of the tile's vectors."""
        yield barrier()
        for number, vector in enumerate(product(*map(range, sums.extents))):
            value = tirx.reinterpret(f"uint32x{VECTOR}", sums.vector(*vector))
            yield tirx.BufferStore(self.shared, value, self._at(number, self.position.share))
        yield barrier()
        turns = -(-prod(sums.extents) // self._share)
        yield loop("turn", turns, lambda turn: self._turn(turn, sums.extents, results))

    def _turn(self, turn: Expression, extents: tuple[int, int, int], results: Results) -> tirx.Stmt:
        total = results.values
        number = turn * self._share + self.position.share
        lanes = ramp(0, VECTOR)

        def add(other: Expression) -> tirx.Stmt:
            kept = tirx.reinterpret(f"float32x{VECTOR}", tirx.BufferLoad(self.shared, self._at(number, other)))
            return tirx.BufferStore(total, tirx.BufferLoad(total, [lanes]) + kept, [lanes])

        first = tirx.BufferStore(total, zero(VECTOR), [lanes])
        stored = results.store_values(unflatten(number, extents))
        body = sequence([first, loop("other", self._share, add), stored])
        return body if prod(extents) % self._share == 0 else tirx.IfThenElse(number < prod(extents), body, None)

    @property
    def _share(self) -> int:
        return self.tiling.schedule.share

    def _at(self, number: Expression, share: Expression) -> list[Expression]:
        threads = self.tiling.schedule.threads // self._share
        return [(number * self._share + share) * threads + self.position.tile_thread, ramp(0, VECTOR)]
