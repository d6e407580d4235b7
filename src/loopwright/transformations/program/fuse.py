"""Fusion of two loops into one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Self

from loopwright.errors import ArgumentError, NotApplicableError
from loopwright.ir.affine import var
from loopwright.ir.loopnest import Loop, Statement
from loopwright.ir.move import move
from loopwright.transformations._base import Transformation, fresh, require_name, unmarked


@dataclass(frozen=True)
class Fuse(Transformation):
    """``fuse(a, b)``: one loop ``a_b`` for two neighbours, ``b`` directly inside ``a``.

    >>> from loopwright.transformations._example import show
    >>> show("fuse(co, ci)")
    for co in 4:          ->  for co_ci in 16:
      for ci in 4:        ->    for oh in 8:
        for oh in 8:      ->
    """

    name: ClassVar[str] = "fuse"
    outer: str
    inner: str

    def __post_init__(self) -> None:
        require_name(self.outer, self.usage())
        require_name(self.inner, self.usage())
        if self.outer == self.inner:
            raise ArgumentError(f"{self.usage()} needs two different loops, not {self.outer!r} twice")

    def rewrite(self, statement: Statement) -> Sequence[Statement]:
        outer, inner = statement.loop(self.outer), statement.loop(self.inner)
        place = statement.loops.index(outer)
        if statement.loops[place + 1 : place + 2] != (inner,):
            order = ", ".join(statement.extents)
            raise NotApplicableError(
                f"loop {inner.name!r} is not directly inside {outer.name!r} (order: {order}); reorder first"
            )
        fused = Loop(fresh(f"{outer.name}_{inner.name}", statement), outer.extent * inner.extent)
        loops = (*statement.loops[:place], fused, *statement.loops[place + 2 :])
        section = {outer.name: var(fused.name) // inner.extent, inner.name: var(fused.name) % inner.extent}
        retraction = {fused.name: var(outer.name) * inner.extent + var(inner.name)}
        return [move(statement, loops, section, retraction)]

    @classmethod
    def instances(cls, statement: Statement) -> Iterator[Self]:
        free = unmarked(statement)
        pairs = ((outer, inner) for outer, inner in pairwise(statement.loops) if outer in free and inner in free)
        yield from (cls(outer.name, inner.name) for outer, inner in pairs)
