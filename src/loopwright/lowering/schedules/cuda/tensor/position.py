"""Which block, warp and lane a thread is, and which pixels and channels are its own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tvm import tirx

from loopwright.lowering.schedules.cuda.tensor.schedule import WARP
from loopwright.lowering.schedules.cuda.tensor.tiling import CHANNELS, PIXELS, VECTOR, Tiling
from loopwright.lowering.tir import Expression, unflatten


@dataclass(frozen=True)
class Position:
    """That of one thread; ``block`` and ``thread`` are its numbers."""

    tiling: Tiling
    block: Expression
    thread: Expression

    @cached_property
    def _tile(self) -> tuple[Expression, ...]:
        """Of images, of rows, of columns and of channels."""
        return unflatten(self.block, [*self.tiling.tiles, self.tiling.sum.channel_tiles])

    @property
    def channel_tile(self) -> Expression:
        return self._tile[3]

    @cached_property
    def _warp(self) -> tuple[Expression, ...]:
        schedule = self.tiling.schedule
        return unflatten(self.thread // WARP, [schedule.share, schedule.pixel_warps, schedule.channel_warps])

    @property
    def share(self) -> Expression:
        """Which of the warps that share out the channels of a tile."""
        return self._warp[0]

    @property
    def tile_thread(self) -> Expression:
        """The number of the thread among those of one share."""
        return self.thread % (self.tiling.schedule.threads // self.tiling.schedule.share)

    @property
    def channel_warp(self) -> Expression:
        return self._warp[2]

    @property
    def lane(self) -> Expression:
        return self.thread % WARP

    @property
    def row(self) -> Expression:
        """Of the eight that a thread's elements of a factor or of the sums may have."""
        return self.lane // VECTOR

    @property
    def column(self) -> Expression:
        """Of four."""
        return self.thread % VECTOR

    @property
    def origin(self) -> tuple[Expression, Expression, Expression]:
        """The first image, row and column of the block."""
        tile = self.tiling.tile
        image, row, column, _ = self._tile
        return image * tile.images, row * tile.rows, column * tile.columns

    def number(self, eight: Expression, own: Expression) -> Expression:
        """Of a pixel in the block's tile: number ``own`` of eight of the warp."""
        return self._warp[1] * self.tiling.schedule.pixels + eight * PIXELS + own

    def pixel(self, number: Expression) -> tuple[Expression, ...]:
        """Image, row and column in the tile."""
        tile = self.tiling.tile
        return unflatten(number, [tile.images, tile.rows, tile.columns])

    def exists(self, number: Expression) -> list[Expression]:
        """What has to hold for a pixel of the tile to be one."""
        whole = self.tiling.tile.pixels == self.tiling.schedule.block_pixels
        return [] if whole else [number < self.tiling.tile.pixels]

    def channel(self, thirty_two: Expression) -> Expression:
        """The first of four output channels that the thread has of 32 of its warp."""
        schedule = self.tiling.schedule
        first = self.channel_tile * schedule.block_channels + self.channel_warp * schedule.channels
        return first + thirty_two * CHANNELS + self.row * VECTOR


def within(index: Expression, extent: int, step: int) -> list[Any]:
    """What has to hold for an index below a multiple of ``step`` to be below ``extent``."""
    return [] if extent % step == 0 else [index < extent]


def all_of(conditions: list[Any]) -> bool | Expression:
    """True where there are none."""
    return tirx.all(*conditions) if conditions else True
