"""Bottlenecking: a part of a loop's iterations is kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from loopwright.errors import ArgumentError, NotApplicableError
from loopwright.ir.affine import Affine, var
from loopwright.ir.loopnest import Loop, LoopNest, Statement
from loopwright.ir.move import restrict
from loopwright.transformations._base import (
    Transformation,
    divisors,
    outermost,
    require_divides,
    require_factor,
    require_name,
)
from loopwright.transformations.neural.group import (
    PROJECT,
    brought_outermost,
    completed,
    require_projectable,
    restrictable,
)

KEEP = ("prefix", "stride", "centre")
COMPLETE = ("repeat", "nearest", PROJECT)


@dataclass(frozen=True)
class Bottleneck(Transformation):
    """``bottleneck(l, B, keep=..., complete=...)``: keeps 1/B of the outermost loop's iterations.

    Which ones: the first (``prefix``, the paper's; default for channels), every B-th (``stride``; default for rows and
    columns: the spatial bottleneck), or those in the middle (``centre``; default for kernel loops). Outputs that are
    dropped repeat kept ones (``repeat``; default for channels), or take that of the nearest kept iteration
    (``nearest``; default for rows and columns), or all outputs are learned from the kept channels (``project``, a 1x1
    convolution).

    >>> from loopwright.transformations._example import show
    >>> show("bottleneck(co, 2)")
    for co in 4:          ->  for co in 2:
      for ci in 4:        ->    for ci in 4:
        for oh in 8:      ->      for oh in 8:
    """

    name: ClassVar[str] = "bottleneck"
    neural: ClassVar[bool] = True
    loop: str
    factor: int
    keep: str | None = None
    complete: str | None = None

    def __post_init__(self) -> None:
        require_name(self.loop, self.usage())
        require_factor(self.factor, self.usage())
        if self.keep is not None and self.keep not in KEEP:
            raise ArgumentError(f"{self.usage()}: keep={self.keep} is unknown; known: {', '.join(KEEP)}")
        if self.complete is not None and self.complete not in COMPLETE:
            raise ArgumentError(f"{self.usage()}: complete={self.complete} is unknown; known: {', '.join(COMPLETE)}")

    def spelled_out(self, statement: Statement) -> Sequence[Transformation]:
        statement.loop(self.loop)
        keep = None if self.keep == default_keep(statement, self.loop) else self.keep
        complete = None if self.complete == default_complete(statement, self.loop) else self.complete
        return [*brought_outermost(statement, (self.loop,)), replace(self, keep=keep, complete=complete)]

    def apply(self, nest: LoopNest, statement: Statement, step: str) -> LoopNest:
        return completed(super().apply(nest, statement, step), self.complete)

    def on_others(self) -> Transformation:
        return replace(self, complete=None if self.complete == PROJECT else self.complete)

    def rewrite(self, statement: Statement) -> Sequence[Statement]:
        loop = statement.loop(self.loop)
        require_divides(self.factor, loop)
        if outermost(statement)[:1] != [loop]:
            raise NotApplicableError(f"{loop.name!r} is not the outermost loop; reorder first")
        size = loop.extent // self.factor
        loops = [Loop(loop.name, size) if old is loop else old for old in statement.loops]
        keep = self.keep or default_keep(statement, loop.name)
        kept = _kept(keep, var(loop.name), self.factor, size)
        complete = self.complete or default_complete(statement, loop.name)
        require_projectable(statement, (loop.name,), complete)
        stand_in = _nearest if complete == "nearest" else _repeat
        return [restrict(statement, loops, {loop.name: kept}, {loop.name: stand_in(keep, loop, self.factor)})]

    @classmethod
    def instances(cls, statement: Statement) -> Iterator[Self]:
        """Every loop that may be cut down, by all its factors, in every way of keeping, with the default completion."""
        for loop in statement.loops:
            if restrictable(statement, loop):
                default = default_keep(statement, loop.name)
                for factor in divisors(loop.extent):
                    yield cls(loop.name, factor)
                    yield from (cls(loop.name, factor, keep) for keep in KEEP if keep != default)


def is_spatial(statement: Statement, name: str) -> bool:
    """Whether the loop runs over rows or columns of the output and over no channels."""
    roles = {statement.computation.role(iterator) for iterator in statement.addresses(name)}
    return "spatial" in roles and "channel" not in roles


def default_keep(statement: Statement, name: str) -> str:
    """``stride`` for rows and columns, ``centre`` for kernel loops, else ``prefix``."""
    if is_spatial(statement, name):
        return "stride"
    roles = {statement.computation.role(iterator) for iterator in statement.addresses(name)}
    return "centre" if roles == {"kernel"} else "prefix"


def default_complete(statement: Statement, name: str) -> str:
    """``nearest`` for rows and columns, else ``repeat``."""
    return "nearest" if is_spatial(statement, name) else "repeat"


def _kept(keep: str, new: Affine, factor: int, size: int) -> Affine:
    """The old iteration that the new one is."""
    return new * factor if keep == "stride" else new + _start(keep, factor, size)


def _start(keep: str, factor: int, size: int) -> int:
    return (size * factor - size) // 2 if keep == "centre" else 0


def _repeat(keep: str, loop: Loop, factor: int) -> Affine:
    """The new iteration that stands for an old one: ``x // B``, or ``x mod N/B`` from the first kept one on."""
    size = loop.extent // factor
    return var(loop.name) // factor if keep == "stride" else (var(loop.name) - _start(keep, factor, size)) % size


def _nearest(keep: str, loop: Loop, factor: int) -> Affine:
    """The kept iteration nearest to an old one, the lower of two equally near."""
    size = loop.extent // factor
    if keep == "stride":
        return ((var(loop.name) + (factor - 1) // 2) // factor).minimum(size - 1)
    offset = var(loop.name) - _start(keep, factor, size)
    return (offset - offset.minimum(0)).minimum(size - 1)
