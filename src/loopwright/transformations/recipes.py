"""Named sequences: the paper's Sequences 1 to 3 and the known operators that sequences give.

A recipe is text over an operator's own iterators, nothing else; the operators follow from the algebra. The published
code numbers Sequences 1 and 3 the other way round, so names say what is built:

- `spatial_group` is the paper's Sequence 1: strips of rows, each with its own part of the output channels.
- `unroll_group` is Sequence 2: some output channels computed in full, the rest grouped.
- `split_group` is Sequence 3: two halves of the output channels, grouped by different factors.

>>> from loopwright.operators import parse
>>> nest = parse("conv2d(co=64, ci=64, oh=32, ow=32, kh=3, kw=3)").nest()
>>> print(RECIPES["grouped"].sequence(nest, 4))
group(co, ci, 4)
>>> print(RECIPES["split_group"].sequence(nest, 2))
partition(co, 32) -> on s0: group(co, ci, 2) -> on s1: group(co, ci, 4)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from loopwright.errors import NotApplicableError
from loopwright.ir.loopnest import LoopNest
from loopwright.transformations._sequence import TransformationSequence

FACTORS = (2, 4, 8)
UNROLLED = 16

Write = Callable[[Mapping[str, int], int], str]


@dataclass(frozen=True)
class Recipe:
    """A named sequence with one factor; ``paper`` says what it is called there, if anything."""

    name: str
    paper: str
    write: Write

    def sequence(self, nest: LoopNest, factor: int) -> TransformationSequence:
        """The sequence for an untransformed nest; raises `NotApplicableError` where it does not fit."""
        extents = nest.computation.extents
        missing = {"co", "ci", "oh", "ow"} - extents.keys()
        if missing:
            raise NotApplicableError(
                f"{self.name} needs loops co, ci, oh, ow; {nest.computation.text} lacks {sorted(missing)}"
            )
        sequence = TransformationSequence.parse(self.write(extents, factor))
        sequence.apply(nest)
        return sequence


def _spatial_group(extents: Mapping[str, int], factor: int) -> str:
    rows = max(extents["oh"] // factor, 2)
    return (
        f"split(oh, {rows}) -> reorder(oh_outer, co, ci) -> group(oh_outer, co, {factor})"
        " -> reorder(co, ci, g, oh_outer) -> fuse(g, oh_outer) -> fuse(g_oh_outer, oh_inner)"
    )


def _split_group(extents: Mapping[str, int], factor: int) -> str:
    half = extents["co"] // 2
    return f"partition(co, {half}) -> on s0: group(co, ci, {factor}) -> on s1: group(co, ci, {2 * factor})"


_ALL = (
    Recipe("spatial_group", "Sequence 1", _spatial_group),
    Recipe("unroll_group", "Sequence 2", lambda e, f: f"unroll(co, {UNROLLED}) -> on s1: group(co, ci, {f})"),
    Recipe("split_group", "Sequence 3", _split_group),
    Recipe("grouped", "group", lambda e, f: f"group(co, ci, {f})"),
    Recipe("depthwise", "depthwise", lambda e, f: "depthwise(co, ci)"),
    Recipe("output_bottleneck", "bottleneck", lambda e, f: f"bottleneck(co, {f})"),
    Recipe("input_bottleneck", "input bottleneck", lambda e, f: f"bottleneck(ci, {f})"),
    Recipe("spatial_bottleneck", "T_S", lambda e, f: f"bottleneck(oh, {f}) -> bottleneck(ow, {f})"),
)
RECIPES: Mapping[str, Recipe] = {recipe.name: recipe for recipe in _ALL}


def applicable(nest: LoopNest) -> Iterator[tuple[Recipe, int, TransformationSequence]]:
    """Every recipe with every factor of `FACTORS` that fits the untransformed nest."""
    for recipe in RECIPES.values():
        for factor in FACTORS:
            try:
                yield recipe, factor, recipe.sequence(nest, factor)
            except NotApplicableError:
                continue
