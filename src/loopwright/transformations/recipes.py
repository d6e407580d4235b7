"""Named sequences: the paper's Sequences 1 to 3 and the known operators that sequences give.

A recipe is text over an operator's own loops, nothing else; the operators follow from the algebra. The paper's text and
its published code number Sequences 1 and 3 the other way round, and differ in more, so names say what is built:

- `spatial_group` is Sequence 1 of the text: strips of rows, each with its own part of the output channels. The code's
  ``Seq3`` computes all channels in every strip, with separate full weights, each strip alone: `isolated_strips`;
  `untied_strips` is the same with the rows of neighbouring strips read (the halo).
- `unroll_group` is Sequence 2 of the text: some output channels computed in full, the rest grouped. The code's
  ``Seq2`` leaves as many input channels out of the grouped part: `narrow_unroll_group`.
- `split_group` is Sequence 3 of the text and the code's ``Seq1``: two halves of the output channels, grouped by
  different factors.

>>> from loopwright.operators import parse
>>> nest = parse("conv2d(co=64, ci=64, oh=32, ow=32, kh=3, kw=3)").nest()
>>> print(RECIPES["grouped"].sequence(nest, 4))
group(co, ci, 4)
>>> print(RECIPES["split_group"].sequence(nest, 2))
partition(co, 32) -> on s0: group(co, ci, 2) -> on s1: group(co, ci, 4)
>>> print(RECIPES["depthwise_separable"].sequence(nest))
depthwise(co, ci, complete=project)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from math import gcd

from loopwright.errors import ArgumentError, NotApplicableError
from loopwright.ir.loopnest import Computation, LoopNest
from loopwright.transformations._sequence import TransformationSequence

FACTORS = (2, 4, 8)
UNROLLED = 16

Write = Callable[[Computation, int], str]


@dataclass(frozen=True)
class Recipe:
    """A named sequence. ``operator`` says what it gives, ``paper`` how the paper writes it, if it does. ``factors`` are
    those worth trying; a recipe without any takes none."""

    name: str
    operator: str
    paper: str
    write: Write
    factors: tuple[int, ...] = FACTORS

    def sequence(self, nest: LoopNest, factor: int = 1) -> TransformationSequence:
        """The sequence for an untransformed nest; raises `NotApplicableError` where it does not fit."""
        if factor < 1:
            raise ArgumentError(f"{self.name}: {factor} is no factor; give a positive integer")
        try:
            sequence = TransformationSequence.parse(self.write(nest.computation, factor))
        except KeyError as missing:
            raise NotApplicableError(f"{self.name} needs a loop {missing}; {nest.computation.text} has none") from None
        sequence.apply(nest)
        return sequence

    def label(self, factor: int) -> str:
        """The name with the factor, where the recipe takes one: ``grouped(4)``."""
        return f"{self.name}({factor})" if self.factors else self.name


def variants() -> list[tuple[Recipe, int]]:
    """Every recipe with each of its factors (1 for those without)."""
    return [(recipe, factor) for recipe in RECIPES.values() for factor in recipe.factors or (1,)]


def applicable(nest: LoopNest) -> Iterator[tuple[Recipe, int, TransformationSequence]]:
    """Every recipe with each of its factors (1 for those without) that fits the untransformed nest."""
    return fitting(nest, variants())


def fitting(
    nest: LoopNest, recipes: Iterable[tuple[Recipe, int]]
) -> Iterator[tuple[Recipe, int, TransformationSequence]]:
    """Those of the recipes that fit the untransformed nest, in their order, each with its sequence."""
    for recipe, factor in recipes:
        try:
            yield recipe, factor, recipe.sequence(nest, factor)
        except NotApplicableError:
            continue


def _rows(computation: Computation, strips: int) -> int:
    """Rows of a strip; at least 2, so that `split` refuses rows that do not divide."""
    return max(computation.extents["oh"] // strips, 2)


def _spatial_group(computation: Computation, strips: int) -> str:
    return (
        f"split(oh, {_rows(computation, strips)}) -> reorder(oh_outer, co, ci) -> group(oh_outer, co, {strips})"
        " -> reorder(co, ci, g, oh_outer) -> fuse(g, oh_outer) -> fuse(g_oh_outer, oh_inner)"
    )


def _narrow_unroll_group(_: Computation, groups: int) -> str:
    return (
        f"unroll(co, {UNROLLED}) -> on s1: partition(ci, {UNROLLED}) -> on s1: drop() -> on s1: group(co, ci, {groups})"
    )


def _split_group(computation: Computation, groups: int) -> str:
    half = computation.extents["co"] // 2
    return f"partition(co, {half}) -> on s0: group(co, ci, {groups}) -> on s1: group(co, ci, {2 * groups})"


def _untied_strips(computation: Computation, strips: int) -> str:
    return f"split(oh, {_rows(computation, strips)}) -> untie(oh_outer)"


def _isolated_strips(computation: Computation, strips: int) -> str:
    """Untied strips, where rows at a strip's border lose the taps that would read a neighbour's rows."""
    rows = _rows(computation, strips)
    taps = [(first, end, len(list(same))) for (first, end), same in groupby(_inside(computation, rows, strips))]
    steps = [_untied_strips(computation, strips)]
    borders = [sum(count for *_, count in taps[:k]) for k in range(1, len(taps))]
    if borders:
        steps.append(f"partition(oh_inner, {', '.join(map(str, borders))})")
    for number, (first, end, _) in reversed(list(enumerate(taps))):
        if end < computation.extents["kh"]:
            steps.append(f"on s{number}: partition(kh, {end}) -> on s{number + 1}: drop()")
        if first > 0:
            steps.append(f"on s{number}: partition(kh, {first}) -> on s{number}: drop()")
    return " -> ".join(steps)


def _inside(computation: Computation, rows: int, strips: int) -> list[tuple[int, int]]:
    """For each row of a strip the taps (first, end) that read the strip's own rows of the input."""
    axis = next(expression for expression in computation.input.index if expression.coefficient("oh"))
    stride, dilation, start = axis.coefficient("oh"), axis.coefficient("kh"), axis.constant
    own = stride * rows
    taps = [
        [kh for kh in range(computation.extents["kh"]) if 0 <= stride * row + dilation * kh + start < own]
        for row in range(rows)
    ]
    if strips < 2 or not all(taps):
        raise NotApplicableError(
            f"strips of {rows} rows are too narrow for this kernel, or there is one strip; take another factor"
        )
    return [(inside[0], inside[-1] + 1) for inside in taps]


def _depthwise_separable(computation: Computation, _: int) -> str:
    co, ci = computation.extents["co"], computation.extents["ci"]
    narrowed = f"bottleneck(co, {co // ci}) -> " if co > ci and co % ci == 0 else ""
    return f"{narrowed}depthwise(co, ci, complete=project)"


def _ghost(computation: Computation, factor: int) -> str:
    kept = computation.extents["co"] // factor
    groups = gcd(computation.extents["co"] - kept, computation.extents["ci"])
    if groups < 2:
        raise NotApplicableError(
            "the other output channels and the input channels have no factor in common; take another factor"
        )
    return f"partition(co, {kept}) -> on s1: group(co, ci, {groups})"


def _along(computation: Computation, kind: str) -> list[str]:
    """The output (``o``) or kernel (``k``) loops of a convolution, over depth, rows and columns."""
    found = [f"{kind}{axis}" for axis in "dhw" if f"{kind}{axis}" in computation.extents]
    if not found:
        raise KeyError(f"{kind}w")
    return found


def _pointwise(computation: Computation, _: int) -> str:
    sizes = {loop: computation.extents[loop] for loop in _along(computation, "k")}
    if min(sizes.values()) < 2:
        raise NotApplicableError(
            "the kernel has one row or one column already, so there is none to drop; leave the layer"
        )
    return " -> ".join(f"bottleneck({loop}, {size})" for loop, size in sizes.items())


def _spatial_bottleneck(computation: Computation, factor: int) -> str:
    """Each loop is brought to the front and cut down; at the end the order is as it was."""
    spatial, order = _along(computation, "o"), ["co", "ci"]
    steps = []
    for loop in spatial:
        order = [loop, *order]
        steps.append(f"reorder({', '.join(order)}) -> bottleneck({loop}, {factor})")
    return " -> ".join([*steps, f"reorder(co, ci, {', '.join(spatial)})"])


def _locally_connected(computation: Computation, _: int) -> str:
    return " -> ".join(f"untie({loop})" for loop in _along(computation, "o"))


_ALL = (
    Recipe("grouped", "grouped convolution", "group", lambda c, f: f"group(co, ci, {f})"),
    Recipe("depthwise", "depthwise convolution", "depthwise", lambda c, f: "depthwise(co, ci)", ()),
    Recipe(
        "depthwise_separable",
        "depthwise, then 1x1, convolution (MobileNet)",
        "",
        _depthwise_separable,
        (),
    ),
    Recipe(
        "grouped_separable",
        "grouped, then 1x1, convolution (BlockSwap's G)",
        "",
        lambda c, f: f"group(co, ci, {f}, complete=project)",
    ),
    Recipe("output_bottleneck", "fewer output channels, repeated", "bottleneck", lambda c, f: f"bottleneck(co, {f})"),
    Recipe("input_bottleneck", "fewer input channels", "int -> bottleneck", lambda c, f: f"bottleneck(ci, {f})"),
    Recipe(
        "low_rank",
        "fewer output channels, then 1x1 to all of them",
        "",
        lambda c, f: f"bottleneck(co, {f}, complete=project)",
    ),
    Recipe("pointwise", "1x1 convolution at the kernel's centre", "", _pointwise, ()),
    Recipe("ghost", "some channels in full, the others by a cheap grouped one (GhostNet)", "", _ghost),
    Recipe(
        "spatial_bottleneck",
        "every second row and column, nearest ones repeated: T_S",
        "int -> bottleneck -> int -> bottleneck -> int",
        _spatial_bottleneck,
    ),
    Recipe(
        "spatial_group",
        "Sequence 1: strips of rows, each with its own channels",
        "split -> int -> group -> int -> fuse",
        _spatial_group,
    ),
    Recipe("untied_strips", "strips of rows with separate full weights", "code: Seq3, with halo", _untied_strips),
    Recipe("isolated_strips", "the same, each strip padded with zeros", "code: Seq3", _isolated_strips),
    Recipe(
        "unroll_group",
        "Sequence 2: 16 output channels in full, the rest grouped",
        "unroll -> group -> int",
        lambda c, f: f"unroll(co, {UNROLLED}) -> on s1: group(co, ci, {f})",
    ),
    Recipe(
        "narrow_unroll_group",
        "the same, the grouped part without the first 16 input channels",
        "code: Seq2",
        _narrow_unroll_group,
    ),
    Recipe(
        "split_group",
        "Sequence 3: halves of the output channels, grouped differently",
        "split -> group -> int -> group",
        _split_group,
    ),
    Recipe(
        "locally_connected",
        "own weights at every pixel",
        "",
        _locally_connected,
        (),
    ),
)
RECIPES: Mapping[str, Recipe] = {recipe.name: recipe for recipe in _ALL}
