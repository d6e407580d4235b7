"""Parallelization: the iterations of a loop are shared out among threads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from loopwright.ir.loopnest import Statement
from loopwright.ir.marks import PARALLEL, mark
from loopwright.transformations._base import Transformation, require_name


@dataclass(frozen=True)
class Parallel(Transformation):
    """``parallel(l)``: the iterations of ``l`` run on the threads of a processor; one loop of a statement.

    >>> from loopwright.transformations._example import show
    >>> show("parallel(co)")
    for co in 4:          ->  for co in 4 (parallel):
      for ci in 4:        ->    for ci in 4:
        for oh in 8:      ->      for oh in 8:
    """

    name: ClassVar[str] = "parallel"
    marks: ClassVar[bool] = True
    loop: str

    def __post_init__(self) -> None:
        require_name(self.loop, self.usage())

    def rewrite(self, statement: Statement) -> Sequence[Statement]:
        return [mark(statement, self.loop, PARALLEL)]

    @classmethod
    def instances(cls, statement: Statement) -> Iterator[Self]:
        """Every loop without a mark, where no other is parallel."""
        if all(loop.mark != PARALLEL for loop in statement.loops):
            yield from (cls(loop.name) for loop in statement.loops if loop.extent > 1 and not loop.mark)
