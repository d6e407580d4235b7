"""What hypothesis draws: small operators of every kind, and nests derived from them step by step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any

from hypothesis import strategies as st

from loopwright.errors import ArgumentError, NotApplicableError
from loopwright.ir.loopnest import LoopNest, Statement
from loopwright.ir.printer import print_nest
from loopwright.operators import Operator, parse
from loopwright.transformations import Step, Transformation, registered

MOST_INSTANCES = 2500
"""So that the interpreter stays quick."""

COMPLETIONS = (None, None, None, "repeat", "nearest", "project")
TRANSFORMATIONS = [own for _, own in sorted(registered().items()) for _ in range(1 if own.marks else 3)]
"""Steps that change the nest three times as often as those that mark its loops."""


channels = st.sampled_from([1, 2, 3, 4, 6, 8])
positions = st.integers(1, 6)
batches = st.sampled_from([1, 1, 2])
sizes = {"stride": (1, 1, 2, 3), "dilation": (1, 1, 2), "padding": (None, None, 0, 1, 2)}


@dataclass(frozen=True, eq=False)
class Derivation:
    """An operator's nest after some steps, and how each nest on the way printed when it was made."""

    operator: Operator
    nest: LoopNest
    trail: tuple[tuple[LoopNest, str], ...]

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ARG002
        """What hypothesis shows of a failing one."""
        printer.text(str(self))

    def __str__(self) -> str:
        return f"{self.operator}: {' -> '.join(self.nest.steps) or 'identity'}"


@st.composite
def convolutions(draw: st.DrawFn, kind: str, axes: str) -> str:
    """Text of a convolution; some of it may fit no input."""
    groups = draw(st.sampled_from([1, 1, 1, 2]))
    fields: dict[str, object] = {"n": draw(batches), "co": draw(channels) * groups, "ci": draw(channels) * groups}
    fields |= {f"o{axis}": draw(positions) for axis in axes}
    fields |= {f"k{axis}": draw(st.integers(1, 3)) for axis in axes}
    for field, choices in sizes.items():
        values = [draw(st.sampled_from(choices)) for _ in axes]
        if None not in values and not (kind == "conv_transpose2d" and field == "dilation"):
            fields[field] = "x".join(map(str, values))
    fields["groups"] = groups
    return f"{kind}({', '.join(f'{name}={value}' for name, value in fields.items())})"


@st.composite
def products(draw: st.DrawFn) -> str:
    """Text of a linear layer or a batched matrix product."""
    n = draw(batches)
    if draw(st.booleans()):
        return f"linear(n={n}, co={draw(channels)}, ci={draw(channels)}, tokens={draw(positions)})"
    h, m, p, k = draw(st.integers(1, 4)), draw(positions), draw(channels), draw(channels)
    return f"matmul(n={n}, h={h}, m={m}, p={p}, k={k})"


texts = st.one_of(
    convolutions("conv2d", "hw"),
    convolutions("conv2d", "hw"),
    convolutions("conv1d", "w"),
    convolutions("conv3d", "dhw"),
    convolutions("conv_transpose2d", "hw"),
    products(),
)


def small_operator(text: str) -> Operator | None:
    """The operator, or ``None`` where the text fits no input or there is too much to interpret."""
    try:
        operator = parse(text)
    except ArgumentError:
        return None
    return operator if prod(operator.computation().extents.values()) <= MOST_INSTANCES else None


operators = texts.map(small_operator).filter(lambda operator: operator is not None)


@st.composite
def derivations(draw: st.DrawFn, steps: int = 8) -> Derivation:
    """Up to ``steps`` steps, each from the instances that a transformation lists for a statement; a step that turns out
    not to fit is left out."""
    operator = draw(operators)
    assert operator is not None
    nest = operator.nest()
    trail = [(nest, print_nest(nest))]
    for _ in range(draw(st.sampled_from(range(steps + 1)))):
        following = draw(next_nests(nest))
        if following is not None and len(following.steps) <= 2 * steps:
            nest = following
            trail.append((nest, print_nest(nest)))
    return Derivation(operator, nest, tuple(trail))


@st.composite
def next_nests(draw: st.DrawFn, nest: LoopNest) -> LoopNest | None:
    """The nest after one more step, or ``None`` where the one drawn does not fit."""
    statement = nest.statements[draw(st.integers(0, len(nest.statements) - 1))]
    transformation = draw(transformations(statement))
    if transformation is None:
        return None
    on = statement.name if len(nest.statements) > 1 and draw(st.booleans()) else None
    try:
        return Step(transformation, on).apply(nest)
    except NotApplicableError:
        return None


@st.composite
def transformations(draw: st.DrawFn, statement: Statement) -> Transformation | None:
    """An instance that some transformation lists for the statement; completions, too, which none lists."""
    instances = list(draw(st.sampled_from(TRANSFORMATIONS)).instances(statement))
    if not instances:
        return None
    drawn = draw(st.sampled_from(instances))
    complete = draw(st.sampled_from(COMPLETIONS)) if hasattr(drawn, "complete") else None
    try:
        return drawn if complete is None else replace(drawn, complete=complete)  # type: ignore[call-arg]
    except ArgumentError:
        return drawn
