"""Strip-mining: one loop becomes two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from loopwright.ir.affine import var
from loopwright.ir.loopnest import Loop, Statement
from loopwright.ir.move import move
from loopwright.transformations._base import (
    Transformation,
    divisors,
    replaced,
    require_divides,
    require_factor,
    require_name,
    strips,
    unmarked,
)


@dataclass(frozen=True)
class Split(Transformation):
    """``split(l, f)``: ``l = f*l_outer + l_inner``; the inner loop has ``f`` iterations.

    >>> from loopwright.transformations._example import show
    >>> show("split(co, 2)")
    for co in 4:          ->  for co_outer in 2:
      for ci in 4:        ->    for co_inner in 2:
        for oh in 8:      ->      for ci in 4:
                          ->        for oh in 8:
    """

    name: ClassVar[str] = "split"
    loop: str
    factor: int

    def __post_init__(self) -> None:
        require_name(self.loop, self.usage())
        require_factor(self.factor, self.usage())

    def rewrite(self, statement: Statement) -> Sequence[Statement]:
        loop = statement.loop(self.loop)
        require_divides(self.factor, loop)
        outer, inner = strips(loop.name, statement)
        loops = replaced(statement, loop.name, [Loop(outer, loop.extent // self.factor), Loop(inner, self.factor)])
        section = {loop.name: var(outer) * self.factor + var(inner)}
        retraction = {outer: var(loop.name) // self.factor, inner: var(loop.name) % self.factor}
        return [move(statement, loops, section, retraction)]

    @classmethod
    def instances(cls, statement: Statement) -> Iterator[Self]:
        for loop in unmarked(statement):
            yield from (cls(loop.name, factor) for factor in divisors(loop.extent)[:-1])
