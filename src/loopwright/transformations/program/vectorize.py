"""Vectorization: the iterations of the innermost loop are the lanes of vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from loopwright.ir.loopnest import Statement
from loopwright.ir.marks import VECTORIZED, mark
from loopwright.transformations._base import Transformation, require_name


@dataclass(frozen=True)
class Vectorize(Transformation):
    """``vectorize(l)``: the iterations of the innermost loop run as one vector operation.

    >>> from loopwright.transformations._example import show
    >>> show("vectorize(oh)")
    for co in 4:          ->  for co in 4:
      for ci in 4:        ->    for ci in 4:
        for oh in 8:      ->      for oh in 8 (vectorized):
    """

    name: ClassVar[str] = "vectorize"
    marks: ClassVar[bool] = True
    loop: str

    def __post_init__(self) -> None:
        require_name(self.loop, self.usage())

    def rewrite(self, statement: Statement) -> Sequence[Statement]:
        return [mark(statement, self.loop, VECTORIZED)]

    @classmethod
    def instances(cls, statement: Statement) -> Iterator[Self]:
        """The innermost loop, unless it is marked."""
        innermost = statement.loops[-1]
        if innermost.extent > 1 and not innermost.mark and not innermost.prefetched:
            yield cls(innermost.name)
