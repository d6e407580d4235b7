"""Which weights the reduction of a tile asks for ahead of time.

Weights are read once for every tile, in the order in which they lie, so that a tile can ask for those that come a
little later. Where several tiles of pixels in turn read the same weights, only the first waits for memory that way, for
as long as all of them compute. With ``next_weights`` they share out asking for what the tile of the next channels
reads instead: a few vectors in every step, so that all of it lies in the processor's own cache by then.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from math import prod

from loopwright.ir.affine import Affine, constant, var
from loopwright.ir.loopnest import FLOAT_BYTES
from loopwright.lowering.schedules.digits import Digit, Digits, loops
from loopwright.lowering.schedules.packing import packed_vector

LINE_BYTES = 64
"""What a processor fetches at once."""
CACHED_BYTES = 16 * 1024
"""Weights or images up to this size stay in the innermost cache and are not fetched ahead."""


@dataclass(frozen=True)
class Fetching:
    """Asks for vectors ``distance`` ahead (none for 0), or with ``next_weights`` for those of the next channels."""

    digits: Digits
    distance: int
    next_weights: bool = False

    def vectors(self, point: int, points: int) -> Iterator[Affine]:
        """The numbers of vectors to ask for at the written-out reduction point ``point`` of ``points``."""
        if not self.distance:
            return
        if self.next_weights and self.sharing > 1:
            yield from (self._next(k) for k in range(point, self._in_a_step, points))
            return
        channels = self.digits.extent("channel")
        for channel in range(channels):
            if (point * channels + channel) % self._vectors_of_a_line:
                continue
            at = {digit.name: constant(channel) for digit in self.digits.of("channel")}
            yield packed_vector(self.digits).substitute(at) + self.distance

    @property
    def _vectors_of_a_line(self) -> int:
        """Narrow vectors share a line of the cache, which is asked for once."""
        return max(1, LINE_BYTES // (FLOAT_BYTES * self.digits.extent("lane")))

    @property
    def sharing(self) -> int:
        """How many tiles read the same weights one after the other."""
        return prod(digit.extent for digit in self._pixels)

    @cached_property
    def _pixels(self) -> tuple[Digit, ...]:
        """The digits around a tile that lie inside of those that address weights; none if all tiles read the same."""
        around = self.digits.of("task", "walk", "strip")
        inside = tuple(takewhile(lambda digit: digit not in self.digits.in_weight, reversed(around)))
        return () if len(inside) == len(around) else tuple(reversed(inside))

    @property
    def bytes_read(self) -> int:
        """Of weights, by one tile."""
        return FLOAT_BYTES * self._read * self.digits.extent("lane")

    @property
    def bytes_per_update(self) -> float:
        """Of weights, for one vector multiply-add."""
        return FLOAT_BYTES * self.digits.extent("lane") / (self.digits.extent("row") * self.digits.extent("column"))

    @property
    def _read(self) -> int:
        """The same in vectors."""
        inner = self.digits.of("reduce", "tap", "channel")
        return prod(digit.extent for digit in self.digits.in_weight if digit in inner)

    @property
    def _in_a_step(self) -> int:
        lines = -(-self._read // self._vectors_of_a_line)
        return -(-lines // (self.sharing * prod(digit.extent for digit in loops(self.digits))))

    def _next(self, k: int) -> Affine:
        """A vector of the line number ``k`` that a step asks for; where there are more steps than lines, the last ones
        ask for the last vector."""
        inner = {digit.name: constant(0) for digit in self.digits.of("reduce", "tap", "channel")}
        step = _number((*self._pixels, *loops(self.digits)))
        number = ((step * self._in_a_step + k) * self._vectors_of_a_line).minimum(self._read - 1)
        return packed_vector(self.digits).substitute(inner) + self._read + number


def _number(digits: tuple[Digit, ...]) -> Affine:
    """Counts the points of some digits, the last of them fastest."""
    place, stride = constant(0), 1
    for digit in reversed(digits):
        place, stride = place + var(digit.name) * stride, stride * digit.extent
    return place
