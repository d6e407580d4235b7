"""Prefetching: what the inner loops read is copied to a local buffer first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from loopwright.errors import ArgumentError, NotApplicableError
from loopwright.ir.loopnest import Loop, Statement
from loopwright.ir.marks import VECTORIZED, prefetch
from loopwright.ir.tile import tile
from loopwright.transformations._base import Transformation, require_name

TENSORS = ("input", "weight", "operand")


@dataclass(frozen=True)
class Prefetch(Transformation):
    """``prefetch(tensor, l)``: each iteration of ``l`` copies the tile of ``input`` or ``weight`` that the loops inside
    read (`loopwright.ir.tile`), and they read the copy. In a product of two inputs, the second is ``operand``.

    >>> from loopwright.transformations._example import show
    >>> show("prefetch(weight, co)")
    for co in 4:          ->  for co in 4 (prefetches weight):
      for ci in 4:        ->    for ci in 4:
        for oh in 8:      ->      for oh in 8:
    """

    name: ClassVar[str] = "prefetch"
    marks: ClassVar[bool] = True
    tensor: str
    loop: str

    def __post_init__(self) -> None:
        require_name(self.loop, self.usage())
        if self.tensor not in TENSORS:
            raise ArgumentError(f"{self.usage()}: {self.tensor!r} can't be prefetched; known: {', '.join(TENSORS)}")

    def rewrite(self, statement: Statement) -> Sequence[Statement]:
        read = _tensors(statement)
        if self.tensor not in read:
            raise NotApplicableError(f"{statement.name} reads no {self.tensor}; it reads {' and '.join(read)}")
        return [prefetch(statement, self.tensor, self.loop)]

    @classmethod
    def instances(cls, statement: Statement) -> Iterator[Self]:
        """Every loop that is not vectorized, for each tensor that no loop prefetches."""
        for tensor in _tensors(statement):
            if all(tensor not in loop.prefetched for loop in statement.loops):
                yield from (cls(tensor, loop.name) for loop in statement.loops if _fits(statement, tensor, loop))


def _tensors(statement: Statement) -> tuple[str, str]:
    return statement.computation.input.tensor, statement.computation.weight.tensor


def _fits(statement: Statement, tensor: str, loop: Loop) -> bool:
    try:
        tile(statement, tensor, loop.name)
    except NotApplicableError:
        return False
    return loop.mark != VECTORIZED
