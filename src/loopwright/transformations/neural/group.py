"""Grouping: of the tiles of two loops only those on the diagonal are kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import gcd
from typing import ClassVar, Self

from loopwright.errors import ArgumentError, NotApplicableError
from loopwright.ir.affine import var
from loopwright.ir.loopnest import Loop, LoopNest, Statement
from loopwright.ir.marks import pinned
from loopwright.ir.move import require_restrictable, restrict, runs_over_batch
from loopwright.ir.projection import project
from loopwright.transformations._base import (
    Transformation,
    divisors,
    fresh,
    outermost,
    require_divides,
    require_factor,
    require_name,
)
from loopwright.transformations.program.reorder import Reorder

PROJECT = "project"


@dataclass(frozen=True)
class Group(Transformation):
    """``group(a, b, G, complete=...)``: tiles the two outermost loops by ``G`` and keeps the instances whose tile
    numbers agree.

    Grouping (co, ci) is grouped convolution; other loops give other operators. An output that is dropped (both loops
    parallel) takes the value at the same offset in the kept tile of the loop that addresses output channels; with
    ``complete=project`` all outputs are learned from the channels computed (a 1x1 convolution, which joins the groups).

    >>> from loopwright.transformations._example import show
    >>> show("group(co, ci, 2)")
    for co in 4:          ->  for g in 2:
      for ci in 4:        ->    for co in 2:
        for oh in 8:      ->      for ci in 2:
                          ->        for oh in 8:
    """

    name: ClassVar[str] = "group"
    neural: ClassVar[bool] = True
    first: str
    second: str
    factor: int
    complete: str | None = None

    def __post_init__(self) -> None:
        require_name(self.first, self.usage())
        require_name(self.second, self.usage())
        require_factor(self.factor, self.usage())
        require_completion(self.complete, self.usage())
        if self.first == self.second:
            raise ArgumentError(f"{self.usage()} needs two different loops, not {self.first!r} twice")

    def spelled_out(self, statement: Statement) -> Sequence[Transformation]:
        for name in (self.first, self.second):
            statement.loop(name)
        return [*brought_outermost(statement, (self.first, self.second)), self]

    def apply(self, nest: LoopNest, statement: Statement, step: str) -> LoopNest:
        return completed(super().apply(nest, statement, step), self.complete)

    def rewrite(self, statement: Statement) -> Sequence[Statement]:
        first, second = statement.loop(self.first), statement.loop(self.second)
        require_divides(self.factor, first)
        require_divides(self.factor, second)
        if outermost(statement)[:2] != [first, second]:
            raise NotApplicableError(
                f"{first.name!r} and {second.name!r} are not the two outermost loops; reorder first"
            )
        require_projectable(statement, (self.first, self.second), self.complete)
        tiles = [Loop(loop.name, loop.extent // self.factor) for loop in (first, second)]
        group = Loop(fresh("g", statement), self.factor)
        place = statement.loops.index(first)
        loops = (*statement.loops[:place], group, *tiles, *statement.loops[place + 2 :])
        section = {tile.name: var(group.name) * tile.extent + var(tile.name) for tile in tiles}
        kept = tiles[0 if self._second_changes(statement) else 1]
        retraction = {tile.name: var(tile.name) % tile.extent for tile in tiles}
        retraction[group.name] = var(kept.name) // kept.extent
        return [restrict(statement, loops, section, retraction)]

    def on_others(self) -> Transformation:
        return replace(self, complete=None)

    def _second_changes(self, statement: Statement) -> bool:
        """Which loop's tile a dropped point changes: a reduction's before an output's (no output is dropped then), and
        of two outputs the one that addresses channels, the first when both or neither do."""
        reduced = [statement.kind(name) == "reduction" for name in (self.first, self.second)]
        if reduced[0] != reduced[1]:
            return reduced[1]
        channels = statement.computation.channel_iterators
        in_channels = [bool(statement.addresses(name) & channels) for name in (self.first, self.second)]
        return in_channels == [False, True]

    @classmethod
    def instances(cls, statement: Statement) -> Iterator[Self]:
        """All pairs of loops that a common factor divides, other than the batch or a mix of outputs and reductions."""
        loops = [loop for loop in statement.loops if restrictable(statement, loop)]
        for first in loops:
            for second in loops:
                if first is not second:
                    common = divisors(gcd(first.extent, second.extent))
                    yield from (cls(first.name, second.name, factor) for factor in common)


def require_completion(complete: object, usage: str) -> None:
    """Raises `ArgumentError` unless the outputs that groups drop are completed by the groups or projected."""
    if complete not in (None, PROJECT):
        raise ArgumentError(f"{usage}: complete={complete} is unknown; known: {PROJECT}, or leave it out")


def require_projectable(statement: Statement, names: Sequence[str], complete: str | None) -> None:
    """Raises `NotApplicableError` for a projection after a step on loops that run over no output channels."""
    addressed = frozenset().union(*(statement.addresses(name) for name in names))
    if complete == PROJECT and not addressed & statement.computation.channel_iterators:
        loops = " and ".join(map(repr, names))
        raise NotApplicableError(f"there are no output channels to project over {loops}; leave out complete={PROJECT}")


def completed(nest: LoopNest, complete: str | None) -> LoopNest:
    """The nest, with a learned projection where the last step asked for one."""
    return project(nest) if complete == PROJECT else nest


def brought_outermost(statement: Statement, names: Sequence[str]) -> list[Transformation]:
    """The `reorder` that brings the named loops outermost, or nothing where they are; raises `NotApplicableError` where
    one of them may not be cut down."""
    for name in names:
        require_restrictable(statement, name)
    order = [loop.name for loop in outermost(statement)]
    if any(name not in order for name in names):  # a loop of one iteration that leads
        order = [loop.name for loop in statement.loops]
    if order[: len(names)] == list(names):
        return []
    upto = max(order.index(name) for name in names)
    return [Reorder((*names, *(name for name in order[: upto + 1] if name not in names)))]


def restrictable(statement: Statement, loop: Loop) -> bool:
    """Whether a neural step may cut the loop down."""
    batch = runs_over_batch(statement, loop.name) or not statement.holds_whole_batch
    return loop.extent > 1 and not batch and statement.kind(loop.name) != "mixed" and not pinned(loop)
