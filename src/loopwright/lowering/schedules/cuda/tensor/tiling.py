"""How a product of matrices is cut into blocks of threads, their warps, and the steps of its sum."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from itertools import product
from math import prod

from loopwright.ir.loopnest import FLOAT_BYTES
from loopwright.lowering.schedules.cuda.tensor.schedule import TensorSchedule
from loopwright.lowering.schedules.cuda.tensor.window import BLOCK, Window
from loopwright.lowering.schedules.digits import largest_divisor

VECTOR = 4
"""Floats that are copied or read at once."""
CHANNELS, PIXELS = 32, 8
"""Of a warp's tile, what it consists of: twice the rows of the left factor of an instruction, so that a thread has four
neighbouring channels of the sum, and the columns of the right one."""


@dataclass(frozen=True)
class Summation:
    """The sum of one tile, in steps: each has some blocks of input channels (``depth`` in all) and some taps of the
    kernel. Taps of the same channels follow each other, so that what they read is staged once, for a round of steps."""

    window: Window
    schedule: TensorSchedule

    @property
    def depth(self) -> int:
        """Blocks of input channels of a step."""
        return self.schedule.depth * self.schedule.share

    @property
    def divides(self) -> bool:
        """Whether all steps are whole."""
        return self.window.blocks % self.depth == 0

    @property
    def taps(self) -> int:
        """Of a step."""
        return largest_divisor(prod(self.window.kernel), self.schedule.taps)

    @property
    def groups(self) -> int:
        """Steps of a round."""
        return prod(self.window.kernel) // self.taps

    @property
    def rounds(self) -> int:
        return self.window.blocks // self.depth

    @property
    def steps(self) -> int:
        return self.rounds * self.groups

    @property
    def channel_tiles(self) -> int:
        """Tiles next to each other, for all output channels; the last one may be partly empty."""
        return -(-self.window.channels // self.schedule.block_channels)

    @property
    def weight_vectors(self) -> int:
        """Of 16 bytes, of a step of one tile."""
        elements = self.depth * self.taps * self.schedule.block_channels * BLOCK
        return elements * self.schedule.factors.bytes // (VECTOR * FLOAT_BYTES)


@dataclass(frozen=True)
class PixelTile:
    """The box of pixels that a block computes: of several images only where these are whole."""

    images: int
    rows: int
    columns: int

    @property
    def pixels(self) -> int:
        return self.images * self.rows * self.columns


@dataclass(frozen=True)
class Pixels:
    """Those of all images that a window is applied to, to be cut into boxes."""

    n: int
    size: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]

    def tiles(self, tile: PixelTile) -> tuple[int, int, int]:
        """How many along images, rows, and columns; the last ones may be partly empty."""
        rows, columns = self.size
        return -(-self.n // tile.images), -(-rows // tile.rows), -(-columns // tile.columns)

    def read(self, tile: PixelTile) -> tuple[int, int, int]:
        """Images, rows and columns of the input that one reads."""
        ends = zip((tile.rows, tile.columns), self.kernel, self.stride, self.dilation, strict=True)
        rows, columns = ((size - 1) * stride + (taps - 1) * step + 1 for size, taps, stride, step in ends)
        return tile.images, rows, columns

    def filled(self, rows: int, columns: int, at_most: int) -> PixelTile:
        """With as many images as ``at_most`` pixels allow, if these are whole."""
        images = min(self.n, at_most // (rows * columns)) if (rows, columns) == self.size else 1
        return PixelTile(images, rows, columns)


@cache
def best_tile(pixels: Pixels, at_most: int) -> PixelTile:
    """Of all boxes of ``at_most`` pixels, one that leaves the fewest of tiles empty, and reads the least for them."""
    boxes = product(_parts(pixels.size[0]), _parts(pixels.size[1]))
    fitting = [pixels.filled(high, wide, at_most) for high, wide in boxes if high * wide <= at_most]
    return min(fitting, key=lambda tile: (prod(pixels.tiles(tile)), prod(pixels.read(tile)), -tile.columns))


@dataclass(frozen=True)
class Tiling:
    """All numbers of a kernel for ``n`` images."""

    sum: Summation
    n: int

    @property
    def window(self) -> Window:
        return self.sum.window

    @property
    def schedule(self) -> TensorSchedule:
        return self.sum.schedule

    @cached_property
    def pixels(self) -> Pixels:
        """Of all images."""
        own = self.window
        return Pixels(self.n, own.size, own.kernel, own.stride, own.dilation)

    @cached_property
    def tile(self) -> PixelTile:
        """Of a block."""
        return best_tile(self.pixels, self.schedule.block_pixels)

    @cached_property
    def tiles(self) -> tuple[int, int, int]:
        """How many along images, rows, and columns; the last ones may be partly empty."""
        return self.pixels.tiles(self.tile)

    @cached_property
    def read(self) -> tuple[int, int, int]:
        """Images, rows and columns of the input that a block reads."""
        return self.pixels.read(self.tile)

    @property
    def blocks(self) -> int:
        """Of the grid."""
        return prod(self.tiles) * self.sum.channel_tiles

    @property
    def input_vectors(self) -> int:
        """That a block reads of one block of channels."""
        return prod(self.read) * BLOCK // VECTOR

    @property
    def input_buffers(self) -> int:
        """How many rounds have their input in shared memory at once."""
        return -(-(self.schedule.stages - 1) // self.sum.groups) + 1

    @property
    def staged_input(self) -> int:
        """Vectors of all inputs in shared memory; the weights lie behind them."""
        return self.input_buffers * self.sum.depth * self.input_vectors

    @property
    def shared_vectors(self) -> int:
        """Of shared memory: inputs and weights, and later the sums of warps that share a tile."""
        staged = self.staged_input + self.schedule.stages * self.sum.weight_vectors
        shared = self.schedule.share * self.schedule.block_pixels * self.schedule.block_channels // VECTOR
        return max(staged, shared if self.schedule.share > 1 else 0)

    @property
    def shared_bytes(self) -> int:
        return self.shared_vectors * VECTOR * FLOAT_BYTES


def _parts(extent: int) -> list[int]:
    """The sizes of equal parts of an extent; the last may be smaller."""
    return sorted({-(-extent // count) for count in range(1, extent + 1)})
