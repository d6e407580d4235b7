"""Weights of its own for each iteration of a loop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from loopwright.errors import NotApplicableError
from loopwright.ir.loopnest import Loop, LoopNest, Statement
from loopwright.ir.move import replace_statement, require_restrictable, untie
from loopwright.transformations._base import Transformation, require_name
from loopwright.transformations.neural.group import restrictable


@dataclass(frozen=True)
class Untie(Transformation):
    """``untie(l)``: each iteration of ``l`` has weights of its own, which no other statement reads.

    The instances stay, and so do the loops; the parameters multiply. Untying rows and columns gives a locally connected
    layer (LeCun, "Generalization and network design strategies", 1989); untying strips of rows, what the paper's
    published code does in place of its Sequence 1.

    >>> from loopwright.transformations._example import show
    >>> show("untie(oh)")
    for co in 4:          ->  for co in 4:
      for ci in 4:        ->    for ci in 4:
        for oh in 8:      ->      for oh in 8:
    """

    name: ClassVar[str] = "untie"
    neural: ClassVar[bool] = True
    loop: str

    def __post_init__(self) -> None:
        require_name(self.loop, self.usage())

    def apply(self, nest: LoopNest, statement: Statement, step: str) -> LoopNest:
        self._require_tied(statement, statement.loop(self.loop))
        others = [other.lattice.ends[-1] for other in nest.statements if other is not statement]
        return replace_statement(nest, statement, [untie(statement, self.loop, max(others, default=0))], step)

    def rewrite(self, statement: Statement) -> Sequence[Statement]:
        self._require_tied(statement, statement.loop(self.loop))
        return [untie(statement, self.loop, 0)]

    def _require_tied(self, statement: Statement, loop: Loop) -> None:
        computation = statement.computation
        require_restrictable(statement, loop.name, "unties")
        if computation.two_inputs:
            raise NotApplicableError(
                "both factors are inputs, so there are no weights to untie; untie a layer's weights"
            )
        own = sorted(statement.addresses(loop.name) & computation.weight_iterators)
        if loop.name in statement.version.variables:
            raise NotApplicableError(f"loop {loop.name!r} is untied already; leave out one of the two")
        if own:
            raise NotApplicableError(
                f"the iterations of loop {loop.name!r} have weights of their own already, for it runs over "
                f"{', '.join(own)}; untie a loop over rows or columns"
            )

    @classmethod
    def instances(cls, statement: Statement) -> Iterator[Self]:
        """Every loop whose iterations share weights."""
        computation = statement.computation
        for loop in () if computation.two_inputs else statement.loops:
            own = statement.addresses(loop.name) & computation.weight_iterators
            untied = loop.name in statement.version.variables
            if restrictable(statement, loop) and not own and not untied:
                yield cls(loop.name)
