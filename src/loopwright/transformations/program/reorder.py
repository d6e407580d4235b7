"""Interchange of loops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar, Self

from loopwright.errors import ArgumentError
from loopwright.ir.loopnest import Statement
from loopwright.ir.marks import VECTORIZED
from loopwright.ir.move import move
from loopwright.text import Call
from loopwright.transformations._base import Transformation, require_name


@dataclass(frozen=True)
class Reorder(Transformation):
    """``reorder(a, b, ...)``: the named loops, in the given order, in the places that they have among themselves.

    >>> from loopwright.transformations._example import show
    >>> show("reorder(ci, co)")
    for co in 4:          ->  for ci in 4:
      for ci in 4:        ->    for co in 4:
        for oh in 8:      ->      for oh in 8:
    """

    name: ClassVar[str] = "reorder"
    loops: tuple[str, ...]

    def __post_init__(self) -> None:
        for loop in self.loops:
            require_name(loop, self.usage())
        if len(self.loops) < 2 or len(set(self.loops)) < len(self.loops):
            raise ArgumentError(
                f"{self.usage()} needs two or more different loops, not {', '.join(self.loops) or 'none'}"
            )

    def rewrite(self, statement: Statement) -> Sequence[Statement]:
        moved = iter([statement.loop(name) for name in self.loops])
        order = [next(moved) if loop.name in self.loops else loop for loop in statement.loops]
        return [move(statement, order, {}, {})]

    @classmethod
    def instances(cls, statement: Statement) -> Iterator[Self]:
        """Every exchange of two loops, a vectorized one excepted."""
        long = [loop.name for loop in statement.loops if loop.extent > 1 and loop.mark != VECTORIZED]
        yield from (cls((second, first)) for first, second in combinations(long, 2))

    def call(self) -> Call:
        return Call(self.name, self.loops)

    @classmethod
    def from_call(cls, call: Call) -> Self:
        if call.keywords or call.pairs:
            raise ArgumentError(f"{call} does not fit {cls.usage()}")
        return cls(tuple(call.arguments))  # type: ignore[arg-type]

    @classmethod
    def usage(cls) -> str:
        return "reorder(loop, loop, ...)"
