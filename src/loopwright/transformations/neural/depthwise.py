"""Depthwise: grouping down to single iterations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from loopwright.errors import ArgumentError, NotApplicableError
from loopwright.ir.loopnest import Statement
from loopwright.transformations._base import Transformation, require_name
from loopwright.transformations.neural.group import Group, require_completion, restrictable


@dataclass(frozen=True)
class Depthwise(Transformation):
    """``depthwise(a, b, complete=...)``: `group` by the extent that both loops have.

    >>> from loopwright.transformations._example import show
    >>> show("depthwise(co, ci)")
    for co in 4:          ->  for g in 4:
      for ci in 4:        ->    for co in 1:
        for oh in 8:      ->      for ci in 1:
                          ->        for oh in 8:
    """

    name: ClassVar[str] = "depthwise"
    neural: ClassVar[bool] = True
    first: str
    second: str
    complete: str | None = None

    def __post_init__(self) -> None:
        require_name(self.first, self.usage())
        require_name(self.second, self.usage())
        require_completion(self.complete, self.usage())
        if self.first == self.second:
            raise ArgumentError(f"{self.usage()} needs two different loops, not {self.first!r} twice")

    def spelled_out(self, statement: Statement) -> Sequence[Transformation]:
        first, second = statement.loop(self.first), statement.loop(self.second)
        if first.extent != second.extent or first.extent < 2:
            raise NotApplicableError(
                f"loops {first.name!r} ({first.extent}) and {second.name!r} ({second.extent}) must have equal extents "
                f"of at least 2; use group(a, b, G) with a common factor"
            )
        return Group(self.first, self.second, first.extent, self.complete).spelled_out(statement)

    def on_others(self) -> Transformation:
        return replace(self, complete=None)

    @classmethod
    def instances(cls, statement: Statement) -> Iterator[Self]:
        loops = [loop for loop in statement.loops if restrictable(statement, loop)]
        for first in loops:
            same = (second for second in loops if second is not first and second.extent == first.extent)
            yield from (cls(first.name, second.name) for second in same)
