"""Vectors of channels in blocked activations, whichever channels the lanes stand for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm import tirx

from loopwright.ir.affine import Affine
from loopwright.lowering.schedules.scope import Scope
from loopwright.lowering.tir import Expression, ramp, splat

Place = tuple[Expression, ...]


@dataclass(frozen=True)
class Lanes:
    """Where the lanes lie: lane ``i`` has channel ``axes[0] + offsets[i]``, all the same row and column."""

    axes: tuple[Affine, Affine, Affine]
    offsets: tuple[int, ...]

    @property
    def channel(self) -> Affine:
        return self.axes[0]

    @property
    def are_neighbours(self) -> bool:
        return self.offsets == tuple(range(len(self.offsets)))

    def place(self, scope: Scope, block: int, lane: int) -> Place:
        """Image, block, row, column and place in the block of one lane."""
        number, inner = scope.blocked(self.channel + self.offsets[lane], block)
        return self.in_block(scope, number, scope.value(inner))

    def in_block(self, scope: Scope, number: Affine, inner: Expression) -> Place:
        row, column = (scope.value(axis) for axis in self.axes[1:])
        return scope.variables["image"], scope.value(number), row, column, inner


def load(buffer: Any, lanes: Lanes, scope: Scope) -> Expression:
    """The lanes of ``buffer``: one value for all, a vector, a shuffled vector, or values one by one."""
    block, count = int(buffer.shape[4]), len(lanes.offsets)
    if not any(lanes.offsets):
        return splat(tirx.BufferLoad(buffer, list(lanes.place(scope, block, 0))), count)
    number, inner = scope.blocked(lanes.channel, block)
    if whole_vector(block, lanes, scope):
        return tirx.BufferLoad(buffer, list(lanes.in_block(scope, number, ramp(scope.value(inner), count))))
    places = [inner.constant + offset for offset in lanes.offsets]
    if inner.terms or min(places) < 0 or max(places) >= block or count > block:  # TVM shuffles into no more lanes
        values = [tirx.BufferLoad(buffer, list(lanes.place(scope, block, lane))) for lane in range(count)]
        return tirx.Shuffle(values, list(range(count)))
    whole = tirx.BufferLoad(buffer, list(lanes.in_block(scope, number, ramp(0, block))))
    return tirx.Shuffle([whole], places)


def whole_vector(block: int, lanes: Lanes, scope: Scope) -> bool:
    """True when the lanes always lie next to each other in one block."""
    count = len(lanes.offsets)
    if block % count == 0 and scope.resolve(lanes.channel).is_multiple_of(count):
        return lanes.are_neighbours
    _, inner = scope.blocked(lanes.channel, block)
    low, high = inner.bounds(scope.extents)
    return lanes.are_neighbours and low >= 0 and high + count <= block
