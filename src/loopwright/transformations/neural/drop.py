"""Removal of a whole statement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from loopwright.errors import NotApplicableError
from loopwright.ir.lattice import count_union
from loopwright.ir.loopnest import LoopNest, Statement
from loopwright.ir.move import require_whole_batch
from loopwright.transformations._base import Transformation


@dataclass(frozen=True)
class Drop(Transformation):
    """``drop()``: the statement no longer runs; the others still write all outputs that it wrote.

    >>> from loopwright.transformations._example import show
    >>> show("partition(ci, 1) -> on s0: drop()")
    for co in 4:          ->  for co in 4:
      for ci in 4:        ->    for ci in 3:
        for oh in 8:      ->      for oh in 8:
    """

    name: ClassVar[str] = "drop"
    neural: ClassVar[bool] = True

    def apply(self, nest: LoopNest, statement: Statement, step: str) -> LoopNest:
        others = [other.written for other in nest.statements if other is not statement]
        if not others or count_union(others) < count_union([*others, statement.written]):
            raise NotApplicableError(
                f"no other statement writes all the outputs of {statement.name}; drop one piece of a partitioned "
                f"reduction by its name (on s0: drop()), or cut outputs down with bottleneck"
            )
        require_whole_batch(statement)
        return super().apply(nest, statement, step)

    def rewrite(self, statement: Statement) -> Sequence[Statement]:  # noqa: ARG002
        return ()

    @classmethod
    def instances(cls, statement: Statement) -> Iterator[Self]:
        """For pieces of a partitioned reduction."""
        outputs = statement.computation.output_iterators
        reduced = any(not expression.variables & outputs for expression, _ in statement.piece)
        if reduced and statement.holds_whole_batch:
            yield cls()
