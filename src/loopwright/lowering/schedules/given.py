"""What the user's own program transformations say of a kernel's schedule; the schedule fills in what they leave open.

The inner loop of a split or tiled output loop is the kernel's tile along that axis, a vectorized loop over output
channels its lanes, and a tile of weights that is prefetched says how far ahead they are fetched.

>>> from loopwright.operators import parse
>>> from loopwright.transformations import TransformationSequence
>>> nest = parse("conv2d(co=64, ci=64, oh=32, ow=32, kh=3, kw=3)").nest()
>>> found = given(TransformationSequence.parse("tile(oh: 2, ow: 8) -> prefetch(input, ci)").apply(nest))
>>> found.fields
{'rows': 2, 'columns': 8}
>>> found.ignored
('prefetch(input, ci): kernels fetch ahead vectors of weights only',)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from loopwright.ir.affine import Affine
from loopwright.ir.loopnest import Loop, LoopNest, Statement
from loopwright.ir.marks import PARALLEL, VECTORIZED
from loopwright.ir.tile import read_access, tile_of
from loopwright.lowering.schedules.schedule import CpuSchedule


@dataclass(frozen=True)
class Given:
    """The fields of a `CpuSchedule` that a sequence determines; ``parallel`` says that threads are to share out its
    tasks, and ``ignored`` what of it no kernel can follow."""

    lanes: int | None = None
    channels: int | None = None
    rows: int | None = None
    columns: int | None = None
    prefetch: int | None = None
    parallel: bool = False
    ignored: tuple[str, ...] = ()

    @property
    def fields(self) -> dict[str, int]:
        """Those that are determined."""
        names = ("lanes", "channels", "rows", "columns", "prefetch")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    def imposed_on(self, schedule: CpuSchedule) -> CpuSchedule:
        """The schedule with what is given. A tile that is given is one of register tiles, not of minimal filtering."""
        values: dict[str, Any] = self.fields
        if self.parallel:
            schedule = replace(schedule, one_thread=False)
        return replace(schedule, **values, winograd=0, by_channel=False) if values else schedule


def given(nest: LoopNest) -> Given:
    """What the steps of a nest determine. Statements that differ determine nothing, and that is told."""
    found: dict[str, int] = {}
    ignored: list[str] = []
    parallel = False
    for statement in nest.statements:
        own = _Reading(statement)
        parallel |= own.parallel
        for field, value in own.fields().items():
            if found.setdefault(field, value) != value:
                ignored.append(f"{statement.name} asks for {field}={value}, another statement for {found[field]}")
        ignored += own.ignored
    values: dict[str, Any] = {**found, "parallel": parallel, "ignored": tuple(dict.fromkeys(ignored))}
    return Given(**values)


class _Reading:
    """What one statement says; ``ignored`` grows while it is read."""

    def __init__(self, statement: Statement):
        self._statement = statement
        self.ignored: list[str] = []

    def fields(self) -> dict[str, int]:
        return dict(self._fields())

    def _fields(self) -> Iterator[tuple[str, int]]:
        channel, *pixels = self._axes()
        yield from self._channels(self._pieces(channel))
        for field, axis in zip(("columns", "rows"), reversed(pixels), strict=False):
            pieces = self._pieces(axis)
            if len(pieces) > 1:
                yield field, pieces[0].extent
        for loop in self._statement.loops:
            yield from self._mark(loop)

    @property
    def parallel(self) -> bool:
        """Whether a loop that tasks share out is marked so."""
        return any(loop.mark == PARALLEL and self._may_be_shared_out(loop) for loop in self._statement.loops)

    def _axes(self) -> list[Affine]:
        """The output's channel, then its other axes without the batch, over the loops."""
        computation = self._statement.computation
        axes = list(computation.output.index)
        channel = axes.pop(computation.channel_axis)
        others = [axis for axis in axes if all(computation.role(name) != "batch" for name in axis.variables)]
        return [axis.substitute(self._statement.index).simplify(self._statement.extents) for axis in (channel, *others)]

    def _pieces(self, axis: Affine) -> list[Loop]:
        """The loops that an axis is cut into, innermost first; none where a loop cuts across axes."""
        loops = [loop for loop in self._statement.loops if axis.coefficient(loop.name) > 0 and loop.extent > 1]
        ordered = sorted(loops, key=lambda loop: axis.coefficient(loop.name))
        return ordered if ordered and axis.coefficient(ordered[0].name) == 1 else []

    def _channels(self, pieces: list[Loop]) -> Iterator[tuple[str, int]]:
        if pieces and pieces[0].mark == VECTORIZED:
            yield "lanes", pieces[0].extent
            if len(pieces) > 2:
                yield "channels", pieces[1].extent

    def _mark(self, loop: Loop) -> Iterator[tuple[str, int]]:
        statement = self._statement
        weight, lanes = statement.computation.weight.tensor, self._lanes()
        for tensor in loop.prefetched:
            if tensor == weight and lanes:
                yield (
                    "prefetch",
                    max(1, tile_of(statement, read_access(statement, tensor), loop.name).elements // lanes),
                )
            else:
                self.ignored.append(f"prefetch({tensor}, {loop.name}): kernels fetch ahead vectors of weights only")
        if loop.rfactored:
            self.ignored.append(f"rfactor({loop.name}): kernels choose themselves who sums up what")
        if loop.mark == VECTORIZED and not lanes:
            self.ignored.append(f"vectorize({loop.name}): lanes are neighbouring output channels")
        if loop.mark == PARALLEL and not self._may_be_shared_out(loop):
            self.ignored.append(f"parallel({loop.name}): tasks share out output loops outside of the tile")

    def _lanes(self) -> int:
        """Lanes of the vectorized loop over output channels; 0 where there is none."""
        pieces = self._pieces(self._axes()[0])
        return pieces[0].extent if pieces and pieces[0].mark == VECTORIZED else 0

    def _may_be_shared_out(self, loop: Loop) -> bool:
        """True for an outer piece of an output loop, and for one that is not cut."""
        cut = [self._pieces(axis) for axis in self._axes()]
        inner = {pieces[0].name for pieces in cut if len(pieces) > 1}
        return any(loop in pieces for pieces in cut) and loop.name not in inner
