"""Factoring a reduction: every iteration of a loop sums into results of its own, which are added up afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from loopwright.ir.loopnest import Statement
from loopwright.ir.marks import pinned, rfactor
from loopwright.transformations._base import Transformation, require_name


@dataclass(frozen=True)
class Rfactor(Transformation):
    """``rfactor(l)``: each iteration of the reduction loop ``l`` sums into partial results of its own, and when all
    have run a combining statement adds these up. So the iterations may run at the same time: ``l`` may be parallel,
    vectorized or bound. ``split(ci, f)`` first makes ``f`` partial sums out of a longer reduction.

    >>> from loopwright.transformations._example import show
    >>> show("rfactor(ci)")
    for co in 4:          ->  for co in 4:
      for ci in 4:        ->    for ci in 4 (rfactored):
        for oh in 8:      ->      for oh in 8:
    """

    name: ClassVar[str] = "rfactor"
    marks: ClassVar[bool] = True
    loop: str

    def __post_init__(self) -> None:
        require_name(self.loop, self.usage())

    def rewrite(self, statement: Statement) -> Sequence[Statement]:
        return [rfactor(statement, self.loop)]

    @classmethod
    def instances(cls, statement: Statement) -> Iterator[Self]:
        """Every reduction loop without a mark."""
        for loop in statement.loops:
            if loop.extent > 1 and not pinned(loop) and statement.kind(loop.name) == "reduction":
                yield cls(loop.name)
