"""Binding: the iterations of a loop become blocks or threads of a GPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from loopwright.errors import ArgumentError
from loopwright.ir.loopnest import Statement
from loopwright.ir.marks import AXES, VTHREAD, mark
from loopwright.transformations._base import Transformation, require_name


@dataclass(frozen=True)
class Bind(Transformation):
    """``bind(l, axis)``: each iteration of ``l`` runs on a block (``blockIdx.x/y/z``), a thread (``threadIdx.x/y/z``)
    or a virtual thread (``vthread``, several of which share a thread).

    >>> from loopwright.transformations._example import show
    >>> show("bind(co, blockIdx.x) -> bind(oh, threadIdx.x)")
    for co in 4:          ->  for co in 4 (blockIdx.x):
      for ci in 4:        ->    for ci in 4:
        for oh in 8:      ->      for oh in 8 (threadIdx.x):
    """

    name: ClassVar[str] = "bind"
    marks: ClassVar[bool] = True
    loop: str
    axis: str

    def __post_init__(self) -> None:
        require_name(self.loop, self.usage())
        if self.axis not in AXES:
            raise ArgumentError(f"{self.usage()}: unknown axis {self.axis!r}; known: {', '.join(AXES)}")

    def rewrite(self, statement: Statement) -> Sequence[Statement]:
        return [mark(statement, self.loop, self.axis)]

    @classmethod
    def instances(cls, statement: Statement) -> Iterator[Self]:
        """Every loop without a mark, on every axis that is free; virtual threads always are."""
        taken = {loop.mark for loop in statement.loops} - {VTHREAD}
        free = [axis for axis in AXES if axis not in taken]
        for loop in statement.loops:
            if loop.extent > 1 and not loop.mark:
                yield from (cls(loop.name, axis) for axis in free)
