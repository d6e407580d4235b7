"""Minimal filtering of 3x3 windows: which contractions allow it, its matrices, and the transformed weights.

A tile of m x m outputs reads (m + 2) x (m + 2) inputs ``d``. With the weights ``g`` of one pair of channels,

    y = A^T ((G g G^T) * (B^T d B)) A

takes (m + 2)^2 products in place of 9 m^2; sums over input channels go inside. ``G g G^T`` is computed ahead of time.
Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (CVPR 2016), Sections 4.1 to 4.3.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from math import prod

import numpy as np

from loopwright.ir.contraction import Contraction, Dim
from loopwright.ir.loopnest import FLOAT_BYTES
from loopwright.lowering.schedules.digits import Digit, Digits, largest_divisor
from loopwright.lowering.schedules.packing import pack, packed_shape
from loopwright.lowering.schedules.schedule import CpuSchedule

KERNEL_SIZE = 3
UNIT_ROW, UNIT_COLUMN = (0, 1, 0), (0, 0, 1)
SMALLEST_BLOCK = 4


@dataclass(frozen=True, eq=False)
class Filtering:
    """The matrices for tiles of ``size`` outputs along each axis: ``input`` is B^T, ``weight`` G, ``output`` A^T."""

    size: int
    input: np.ndarray
    weight: np.ndarray
    output: np.ndarray

    @property
    def window(self) -> int:
        """Inputs along each axis that a tile reads."""
        return self.size + KERNEL_SIZE - 1


FILTERINGS = {
    filtering.size: filtering
    for filtering in (
        Filtering(
            2,
            np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]], float),
            np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]]),
            np.array([[1, 1, 1, 0], [0, 1, -1, -1]], float),
        ),
        Filtering(
            4,
            np.array(
                [
                    [4, 0, -5, 0, 1, 0],
                    [0, -4, -4, 1, 1, 0],
                    [0, 4, -4, -1, 1, 0],
                    [0, -2, -1, 2, 1, 0],
                    [0, 2, -1, -2, 1, 0],
                    [0, 4, 0, -5, 0, 1],
                ],
                float,
            ),
            np.array(
                [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]],
                float,
            )
            / 24,
            np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], float),
        ),
    )
}


@dataclass(frozen=True)
class Windows:
    """The dims of a contraction that slides a 3x3 window over rows and columns, one step at a time: numbers of the
    dims of output rows and columns, kernel rows and columns; all other dims move channels alone."""

    rows: int
    columns: int
    kernel_rows: int
    kernel_columns: int

    @property
    def kernel(self) -> tuple[int, int]:
        return self.kernel_rows, self.kernel_columns


@lru_cache(maxsize=4096)
def windows(contraction: Contraction) -> Windows | None:
    """``None`` for a contraction of any other kind."""
    dims = list(enumerate(contraction.dims))
    found = [
        [k for k, dim in dims if dim.role == role and dim.input == unit and _right_extent(dim)]
        for role in ("pixel", "reduce")
        for unit in (UNIT_ROW, UNIT_COLUMN)
    ]
    if any(len(matches) != 1 for matches in found):
        return None
    own = Windows(*(matches[0] for matches in found))
    named = {own.rows, own.columns, *own.kernel}
    slides = contraction.dims[own.rows].output == UNIT_ROW and contraction.dims[own.columns].output == UNIT_COLUMN
    return own if slides and all(_moves_channels(dim) for k, dim in dims if k not in named) else None


def _right_extent(dim: Dim) -> bool:
    return dim.role == "pixel" or dim.extent == KERNEL_SIZE


def _moves_channels(dim: Dim) -> bool:
    return dim.in_weight and not any(dim.input[1:]) and not any(dim.output[1:])


@dataclass(frozen=True, eq=False)
class WinogradContraction:
    """A contraction cut for minimal filtering. ``digits`` cuts the contraction with its kernel dims widened to the
    window: ``position`` digits number the products of a window, ``tile`` and ``point`` digits make rows and columns,
    ``block`` digits walk channels, ``channel`` and ``lane`` digits are the register tile beside ``tiles`` tiles."""

    contraction: Contraction
    windows: Windows
    filtering: Filtering
    digits: Digits
    tiles: int
    input_block: int
    by_channel: bool
    tiled: bool = True

    @property
    def shape(self) -> tuple[int, int]:
        """Of the packed weight."""
        return packed_shape(self.digits)

    @property
    def growth_bytes(self) -> int:
        """By how much the transformed weight is larger."""
        return FLOAT_BYTES * (prod(self.shape) - prod(self.contraction.weight_shape))

    def pack(self, weight: np.ndarray) -> np.ndarray:
        """The transformed weight in the order the kernel reads it."""
        return pack(self.digits, self._transformed(weight))

    @property
    def grid_size(self) -> int:
        """Tiles of an image."""
        return self.digits.extent("tile")

    @property
    def groups(self) -> int:
        """Register tiles in an image."""
        return self.grid_size // self.tiles

    @property
    def walked(self) -> tuple[Digit, ...]:
        """The digits of output vectors that one task walks."""
        return self.digits.of("channel") if self.by_channel else self.digits.of("block", "channel")

    def extent(self, digit: Digit) -> int:
        """Of the dim that the digit is a part of."""
        return self.contraction.dims[digit.dim].extent

    @cached_property
    def first_block(self) -> int:
        """The first block of input channels that is read."""
        return self._channels[0] // self.input_block

    @cached_property
    def read_blocks(self) -> int:
        """How many blocks from there on are read."""
        return self._channels[1] // self.input_block - self.first_block + 1

    @cached_property
    def _channels(self) -> tuple[int, int]:
        """The first and the last input channel."""
        offset = self.contraction.input_offset[0]
        spans = [dim.input[0] * (dim.extent - 1) for dim in self.contraction.dims]
        return offset + sum(min(0, span) for span in spans), offset + sum(max(0, span) for span in spans)

    def _transformed(self, weight: np.ndarray) -> np.ndarray:
        """``G g G^T`` along the kernel's rows and columns."""
        places = [k for k, dim in enumerate(self.contraction.dims) if dim.in_weight]
        transformed = np.asarray(weight, np.float64)
        for k in self.windows.kernel:
            axis = places.index(k)
            transformed = np.moveaxis(np.tensordot(self.filtering.weight, transformed, (1, axis)), 0, axis)
        return transformed


def cut_windows(contraction: Contraction, schedule: CpuSchedule, input_block: int) -> WinogradContraction | None:
    """``contraction`` under a schedule for minimal filtering, or ``None`` where it does not apply: another kernel,
    output channels that don't fill vectors, or tiles that can't be shared out evenly."""
    own, filtering = windows(contraction), FILTERINGS.get(schedule.winograd)
    if own is None or filtering is None or input_block < SMALLEST_BLOCK or input_block & (input_block - 1):
        return None
    lane = _lane_dim(contraction, schedule.lanes)
    grid = [-(-contraction.dims[k].extent // filtering.size) for k in (own.rows, own.columns)]
    if lane is None or prod(grid) % schedule.columns:
        return None
    digits = _digits(contraction, own, filtering, lane, schedule, grid)
    return WinogradContraction(contraction, own, filtering, digits, schedule.columns, input_block, schedule.by_channel)


def _lane_dim(contraction: Contraction, lanes: int) -> int | None:
    """The dim of neighbouring output channels, if these fill whole vectors that never straddle a block."""
    channels = [k for k, dim in enumerate(contraction.dims) if dim.in_weight and dim.output[0]]
    unit = [k for k in channels if contraction.dims[k].role == "out" and contraction.dims[k].output[0] == 1]
    if len(unit) != 1 or contraction.dims[unit[0]].extent % lanes or contraction.output_offset[0] % lanes:
        return None
    others = (contraction.dims[k].output[0] for k in channels if k != unit[0])
    return unit[0] if all(step % lanes == 0 for step in others) else None


def _digits(
    contraction: Contraction,
    own: Windows,
    filtering: Filtering,
    lane: int,
    schedule: CpuSchedule,
    grid: list[int],
) -> Digits:
    size, window = filtering.size, filtering.window
    dims = [replace(dim, extent=window) if k in own.kernel else dim for k, dim in enumerate(contraction.dims)]
    vectors = dims[lane].extent // schedule.lanes
    held = largest_divisor(vectors, schedule.channels)
    channels = [k for k, dim in enumerate(dims) if dim.in_weight and k not in own.kernel and k != lane]
    positions = [Digit(f"position{axis}", "position", k, 1, window) for axis, k in enumerate(own.kernel)]
    blocks = [
        *(Digit(f"block{k}", "block", k, 1, dims[k].extent) for k in channels if any(dims[k].output)),
        Digit("outer", "block", lane, schedule.lanes * held, vectors // held),
    ]
    parts = [
        *((*blocks, *positions) if schedule.by_channel else (*positions, *blocks)),
        *(Digit(f"reduce{k}", "reduce", k, 1, dims[k].extent) for k in channels if not any(dims[k].output)),
        Digit("channel", "channel", lane, schedule.lanes, held),
        Digit("lane", "lane", lane, 1, schedule.lanes),
    ]
    for axis, (k, tiles) in enumerate(zip((own.rows, own.columns), grid, strict=True)):
        parts += [Digit(f"tile{axis}", "tile", k, size, tiles), Digit(f"point{axis}", "point", k, 1, size)]
    return Digits(replace(contraction, dims=tuple(dims)), tuple(parts))
