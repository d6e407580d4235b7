"""Discovery finds what trying everything finds, in as few steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from loopwright.errors import ArgumentError, NotApplicableError
from loopwright.ir.contraction import operator_form
from loopwright.ir.loopnest import LoopNest
from loopwright.operators import parse
from loopwright.search.discover import Discovery, discover
from loopwright.search.expansion import Bounds
from loopwright.transformations import Step, Transformation, TransformationSequence, registered

SMALL = "conv2d(co=8, ci=8, oh=4, ow=4, kh=3, kw=3)"


def instances(nest: LoopNest, bounds: Bounds) -> Iterator[tuple[Step, int]]:
    """Every step within the bounds, and how many canonical steps it is."""
    for statement in nest.statements:
        for transformation in registered().values():
            for step in transformation.instances(statement):
                if bounds.admit(step, statement):
                    yield Step(step, statement.name), len(step.spelled_out(statement))


def reorders(step: Transformation) -> bool:
    return step.name == "reorder"


def by_brute_force(nest: LoopNest, bounds: Bounds, taken: int = 0) -> dict[str, int]:
    """For each operator that any sequence within the bounds makes, the length of the shortest."""
    found = {operator_form(nest).key: taken}
    for step, cost in instances(nest, bounds):
        neural = bounds.neural - step.transformation.neural
        program = bounds.program - (not step.transformation.neural and not reorders(step.transformation))
        if cost > bounds.steps - taken or min(neural, program) < 0:
            continue
        try:
            after = step.apply(nest)
        except NotApplicableError:
            continue
        left = _Left(bounds.steps, neural, program, bounds.factors, bounds.unroll)
        for key, length in by_brute_force(after, left, taken + cost).items():
            found[key] = min(length, found.get(key, length))
    return found


class _Left(Bounds):
    """Bounds of which nothing may be left."""

    def __post_init__(self) -> None:
        pass


def lengths(found: Discovery) -> dict[str, int]:
    return {key: len(operator.sequence) for key, operator in found.operators.items()}


@pytest.mark.parametrize(
    ("operator", "bounds"),
    [
        (SMALL, Bounds(1)),
        pytest.param(SMALL, Bounds(2, neural=2, program=2, unroll=2), marks=pytest.mark.slow),
        ("conv2d(co=4, ci=2, oh=1, ow=1)", Bounds(3, neural=3, program=1, factors=(2,), unroll=1)),
        pytest.param(
            "conv2d(co=4, ci=2, oh=2, ow=1)",
            Bounds(3, neural=3, program=1, factors=(2,), unroll=1),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "conv2d(co=2, ci=2, oh=1, ow=1, kh=3)",
            Bounds(3, neural=3, program=3, factors=(2,), unroll=1),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "conv2d(co=4, ci=2, oh=4, ow=1)",
            Bounds(3, neural=2, program=1, factors=(2,), unroll=2),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "conv2d(co=4, ci=4, oh=1, ow=1, kh=2)",
            Bounds(3, neural=2, program=1, factors=(2,), unroll=2),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "conv2d(n=2, co=2, ci=2, oh=2, ow=1)",
            Bounds(3, neural=2, program=1, factors=(2,), unroll=1),
            marks=pytest.mark.slow,
        ),
    ],
    ids=lambda value: value.partition("(")[2] if isinstance(value, str) else f"{value.steps} steps",
)
def test_what_is_left_out_loses_no_operator_and_no_shorter_sequence(operator: str, bounds: Bounds) -> None:
    assert lengths(discover(parse(operator), bounds)) == by_brute_force(parse(operator).nest(), bounds)


def test_each_sequence_makes_its_operator_and_is_canonical() -> None:
    nest, found = parse(SMALL).nest(), discover(parse(SMALL), Bounds(3))
    for operator in list(found.operators.values())[::10]:
        text = TransformationSequence.parse(str(operator.sequence))
        form = operator_form(text.apply(nest))
        assert text == operator.sequence == text.canonical(nest)
        assert (form.key, form.macs, form.parameters) == (operator.key, operator.macs, operator.parameters)


def test_the_papers_operators_are_found_under_their_names() -> None:
    found = discover(parse("conv2d(co=32, ci=32, oh=4, ow=2)"), Bounds(4))
    named = {found.names[operator.key]: len(operator.sequence) for operator in found.known}
    assert named["untransformed"] == 0
    assert named["grouped(2)"] == named["depthwise"] == 1
    assert named["input_bottleneck(2)"] == named["spatial_group(2)"] == named["unroll_group(2)"] == 2
    assert named["split_group(2)"] == 3
    assert named["spatial_bottleneck(2)"] == 4


def test_several_processes_find_the_same() -> None:
    alone, together = (discover(parse(SMALL), Bounds(3, program=0), workers) for workers in (1, 2))
    assert alone == together


def test_new_operators_come_with_those_that_need_least_first() -> None:
    found = discover(parse(SMALL), Bounds(2))
    macs = [operator.macs for operator in found.new]
    assert macs == sorted(macs)
    assert {operator.key for operator in found.new}.isdisjoint(found.names)
    assert len(found.new) + len(found.known) == len(found.operators)


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"steps": 0}, "steps=0 is too few; at least 1 is needed"),
        ({"neural": 0}, "neural=0 is too few"),
        ({"program": -1}, "program=-1 is too few; at least 0"),
        ({"factors": (2, 1)}, "factors must be integers of at least 2, such as 2,4"),
        ({"factors": ()}, "factors must be integers"),
    ],
)
def test_bounds_that_leave_nothing_are_refused(bounds: dict, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        replace(Bounds(), **bounds)


@pytest.mark.parametrize(
    ("step", "admitted"),
    [
        ("split(co, 2)", True),
        ("split(co, 8)", False),
        ("group(co, ci, 4)", True),
        ("bottleneck(kh, 3)", True),
        ("bottleneck(co, 2, keep=stride)", False),
        ("partition(co, 32)", True),
        ("partition(co, 16)", False),
        ("unroll(co, 16)", True),
        ("unroll(co, 8)", False),
        ("depthwise(co, ci)", True),
        ("tile(co: 2, ci: 4)", True),
        ("tile(co: 2, ci: 8)", False),
    ],
)
def test_parameters_within_the_default_bounds(step: str, admitted: bool) -> None:
    (statement,) = parse("conv2d(co=64, ci=64, oh=32, ow=32, kh=3, kw=3)").nest().statements
    (taken,) = TransformationSequence.parse(step)
    assert Bounds().admit(taken.transformation, statement) == admitted
