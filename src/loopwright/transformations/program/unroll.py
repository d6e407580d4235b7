"""Unrolling: the first iterations of a loop are peeled off and written out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from loopwright.errors import ArgumentError, NotApplicableError
from loopwright.ir.loopnest import Statement
from loopwright.ir.marks import UNROLLED, mark
from loopwright.ir.move import cut
from loopwright.transformations._base import Transformation, divisors, require_name


@dataclass(frozen=True)
class Unroll(Transformation):
    """``unroll(l, f)``: the first ``f`` iterations become a statement of their own, marked unrolled; the rest remains.

    >>> from loopwright.transformations._example import show
    >>> show("unroll(oh, 2)")
    for co in 4:          ->  for co in 4:
      for ci in 4:        ->    for ci in 4:
        for oh in 8:      ->      for oh in 2 (unrolled):
                          ->  for co in 4:
                          ->    for ci in 4:
                          ->      for oh in 6:
    """

    name: ClassVar[str] = "unroll"
    loop: str
    count: int

    def __post_init__(self) -> None:
        require_name(self.loop, self.usage())
        if not isinstance(self.count, int) or self.count < 1:
            raise ArgumentError(f"{self.usage()}: {self.count!r} iterations can't be unrolled; at least 1 is needed")

    def rewrite(self, statement: Statement) -> Sequence[Statement]:
        extent = statement.loop(self.loop).extent
        if self.count > extent:
            raise NotApplicableError(
                f"loop {self.loop!r} has {extent} iterations, fewer than {self.count}; unroll at most {extent}"
            )
        pieces = cut(statement, self.loop, [self.count]) if self.count < extent else [statement]
        return [mark(pieces[0], self.loop, UNROLLED), *pieces[1:]]

    @classmethod
    def instances(cls, statement: Statement) -> Iterator[Self]:
        """Up to 16 iterations, of loops that run over outputs alone or reductions alone."""
        for loop in statement.loops:
            if not loop.mark and statement.kind(loop.name) != "mixed" and statement.moves[loop.name]:
                yield from (cls(loop.name, count) for count in divisors(loop.extent) if count <= 16)
