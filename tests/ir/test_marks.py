from __future__ import annotations

import random

import numpy as np
import pytest

from loopwright.ir.contraction import operator_form
from loopwright.ir.interpreter import run
from loopwright.ir.loopnest import LoopNest
from loopwright.ir.marks import described
from loopwright.ir.printer import print_nest
from loopwright.operators import parse
from loopwright.transformations import TransformationSequence, registered
from tests.sampling import integers, random_nest, random_operator

BASE = parse("conv2d(co=4, ci=4, oh=4, ow=4, kh=3, kw=3)").nest()
MARKED = "parallel(co) -> prefetch(input, oh) -> prefetch(weight, oh) -> unroll(kh, 3) -> vectorize(kw)"


def after(sequence: str) -> LoopNest:
    return TransformationSequence.parse(sequence).apply(BASE)


def marks(nest: LoopNest) -> list[dict[str, str]]:
    return [{loop.name: described(loop) for loop in s.loops if described(loop)} for s in nest.statements]


def test_marks_change_neither_values_nor_the_operator() -> None:
    x, weight = integers(BASE, 0)
    assert np.array_equal(run(after(MARKED), x, weight), run(BASE, x, weight))
    assert operator_form(after(MARKED)).key == operator_form(BASE).key


@pytest.mark.parametrize(
    "sequence",
    ["rfactor(ci)", "rfactor(kh) -> reorder(ow, co)", "partition(kw, 1) -> on s1: rfactor(ci) -> parallel(ci)"],
)
def test_partial_sums_add_up_to_the_same(sequence: str) -> None:
    x, weight = integers(BASE, 0)
    assert np.array_equal(run(after(sequence), x, weight), run(BASE, x, weight))
    assert operator_form(after(sequence)).key == operator_form(BASE).key


def test_partial_results_and_what_adds_them_up_are_printed() -> None:
    lines = print_nest(after("rfactor(ci) -> bind(ci, blockIdx.x)")).splitlines()
    assert "    for ci in 4:  # blockIdx.x, rfactored, reduction" in lines
    assert lines[-2].strip().startswith("s0: partial[ci, 0, co, oh, ow] += input[")
    assert lines[-1] == "combined: output[o0, o1, o2, o3] += partial[ci, o0, o1, o2, o3] for ci in 4"


def test_marks_are_printed() -> None:
    lines = print_nest(after(MARKED)).splitlines()
    assert "  for co in 4:  # parallel" in lines
    assert "      for oh in 4:  # prefetches input and weight" in lines
    assert "            for kw in 3:  # vectorized, reduction" in lines


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("reorder(oh, co)", [{"co": "parallel", "oh": "prefetches weight"}]),
        ("split(ci, 2)", [{"co": "parallel", "oh": "prefetches weight"}]),
        ("group(ci, ow, 2)", [{"co": "parallel", "oh": "prefetches weight"}]),
        ("partition(oh, 1)", [{"co": "parallel", "oh": "prefetches weight"}] * 2),
        (
            "unroll(kw, 1)",
            [
                {"co": "parallel", "oh": "prefetches weight", "kw": "unrolled"},
                {"co": "parallel", "oh": "prefetches weight"},
            ],
        ),
    ],
)
def test_steps_keep_the_marks_of_loops_that_they_leave_alone(step: str, expected: list[dict[str, str]]) -> None:
    assert marks(after(f"parallel(co) -> prefetch(weight, oh) -> {step}")) == expected


def test_virtual_threads_may_be_several() -> None:
    nest = after("bind(co, vthread) -> bind(oh, vthread) -> bind(ow, threadIdx.x)")
    assert marks(nest) == [{"co": "vthread", "oh": "vthread", "ow": "threadIdx.x"}]


@pytest.mark.parametrize("seed", range(40))
def test_listed_marks_apply(seed: int) -> None:
    """A mark that a transformation lists is not refused, and leaves the order as it is."""
    rng = random.Random(seed)
    nest = random_nest(random_operator(rng), rng, 6)
    for transformation in (known for known in registered().values() if known.marks):
        for statement in nest.statements:
            for step in transformation.instances(statement):
                (marked,) = step.rewrite(statement)
                assert marked.index == statement.index
                assert marked.extents == statement.extents
