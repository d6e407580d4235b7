"""Index-set splitting: one statement becomes several, each with an interval of a loop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from loopwright.errors import ArgumentError, NotApplicableError
from loopwright.ir.loopnest import Statement
from loopwright.ir.move import cut
from loopwright.text import Call
from loopwright.transformations._base import Transformation, divisors, require_name


@dataclass(frozen=True)
class Partition(Transformation):
    """``partition(l, p, ...)``: statements for ``l`` before ``p`` and from ``p`` on (and so on), one after the other.

    >>> from loopwright.transformations._example import show
    >>> show("partition(co, 1)")
    for co in 4:          ->  for co in 1:
      for ci in 4:        ->    for ci in 4:
        for oh in 8:      ->      for oh in 8:
                          ->  for co in 3:
                          ->    for ci in 4:
                          ->      for oh in 8:
    """

    name: ClassVar[str] = "partition"
    loop: str
    points: tuple[int, ...]

    def __post_init__(self) -> None:
        require_name(self.loop, self.usage())
        if not self.points or not all(isinstance(point, int) for point in self.points):
            raise ArgumentError(f"{self.usage()} needs one or more integers, the points of the cuts")

    def rewrite(self, statement: Statement) -> Sequence[Statement]:
        extent = statement.loop(self.loop).extent
        if extent == 1:
            raise NotApplicableError(f"loop {self.loop!r} has one iteration and can't be cut; name another loop")
        if list(self.points) != sorted({point for point in self.points if 0 < point < extent}):
            raise NotApplicableError(f"points must rise and lie between 1 and {extent - 1}, within loop {self.loop!r}")
        return cut(statement, self.loop, self.points)

    @classmethod
    def instances(cls, statement: Statement) -> Iterator[Self]:
        """Cuts at the divisors of an extent, for loops that run over outputs alone or reductions alone."""
        for loop in statement.loops:
            if statement.kind(loop.name) != "mixed" and statement.moves[loop.name]:
                yield from (cls(loop.name, (point,)) for point in [1, *divisors(loop.extent)] if point < loop.extent)

    def call(self) -> Call:
        return Call(self.name, (self.loop, *self.points))

    @classmethod
    def from_call(cls, call: Call) -> Self:
        if call.keywords or call.pairs or not call.arguments:
            raise ArgumentError(f"{call} does not fit {cls.usage()}")
        return cls(call.arguments[0], call.arguments[1:])  # type: ignore[arg-type]

    @classmethod
    def usage(cls) -> str:
        return "partition(loop, point, ...)"
