"""Tiling: several loops are split, the outer parts before the inner ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Self

from loopwright.errors import ArgumentError
from loopwright.ir.loopnest import Statement
from loopwright.text import Call
from loopwright.transformations._base import Transformation, divisors, require_factor, require_name, strips, unmarked
from loopwright.transformations.program.reorder import Reorder
from loopwright.transformations.program.split import Split


@dataclass(frozen=True)
class Tile(Transformation):
    """``tile(a: f, b: g)``: splits of ``a`` by ``f`` and of ``b`` by ``g``, then all outer loops before all inner ones.

    >>> from loopwright.transformations._example import show
    >>> show("tile(ci: 2, oh: 4)")
    for co in 4:          ->  for co in 4:
      for ci in 4:        ->    for ci_outer in 2:
        for oh in 8:      ->      for oh_outer in 2:
                          ->        for ci_inner in 2:
                          ->          for oh_inner in 4:
    """

    name: ClassVar[str] = "tile"
    sizes: tuple[tuple[str, int], ...]

    def __post_init__(self) -> None:
        for loop, factor in self.sizes:
            require_name(loop, self.usage())
            require_factor(factor, self.usage())
        if len({loop for loop, _ in self.sizes}) < max(1, len(self.sizes)):
            raise ArgumentError(f"{self.usage()} needs different loops")

    def spelled_out(self, statement: Statement) -> Sequence[Transformation]:
        for loop, _ in self.sizes:
            statement.loop(loop)
        order = [loop.name for loop in statement.loops]
        named = [loop for loop, _ in self.sizes]
        start, end = min(map(order.index, named)), max(map(order.index, named))
        between = [name for name in order[start:end] if name not in named]
        outer, inner = zip(*(strips(loop, statement) for loop in named), strict=True)
        splits = [Split(loop, factor) for loop, factor in self.sizes]
        return [*splits, Reorder((*outer, *between, *inner))] if len(named) > 1 else splits

    @classmethod
    def instances(cls, statement: Statement) -> Iterator[Self]:
        """Tilings of two neighbouring loops, marked ones left out."""
        for first, second in pairwise(loop for loop in unmarked(statement) if loop.extent > 1):
            for factor in divisors(first.extent)[:-1]:
                yield from (cls(((first.name, factor), (second.name, other))) for other in divisors(second.extent)[:-1])

    def call(self) -> Call:
        return Call(self.name, pairs=self.sizes)

    @classmethod
    def from_call(cls, call: Call) -> Self:
        if call.keywords or call.arguments:
            raise ArgumentError(f"{call} does not fit {cls.usage()}")
        return cls(call.pairs)  # type: ignore[arg-type]

    @classmethod
    def usage(cls) -> str:
        return "tile(loop: size, loop: size, ...)"
