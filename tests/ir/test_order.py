"""What index expressions prove, isl confirms; what isl finds, the interpreter shows."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loopwright.ir import interpreter, polyhedral
from loopwright.ir.dependences import find_carried, find_reversed, first_instances, reversed_dependence
from loopwright.ir.interpreter import run
from loopwright.ir.loopnest import LoopNest
from loopwright.ir.order import surely_in_order, surely_independent, surely_starts_first
from loopwright.operators import parse
from loopwright.transformations import TransformationSequence
from tests.sampling import integers, random_nest, random_operator

seeds = st.integers(0, 2**32)
many = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def nest_of(seed: int) -> LoopNest:
    rng = random.Random(seed)
    return random_nest(random_operator(rng), rng, 8)


@many
@given(seeds)
def test_proofs_agree_with_isl(seed: int) -> None:
    nest = nest_of(seed)
    if surely_starts_first(nest):
        assert find_reversed(nest) is None
    if surely_in_order(nest):
        assert find_reversed(nest, strict=True) is None
    for statement in nest.statements:
        for loop in statement.extents:
            if surely_independent(statement, loop):
                assert find_carried(nest, statement, loop) is None


def test_most_nests_are_decided_without_isl() -> None:
    nests = [nest_of(seed) for seed in range(200)]
    assert sum(map(surely_starts_first, nests)) > 180
    strict = [nest for nest in nests if find_reversed(nest, strict=True) is None]
    assert sum(map(surely_in_order, strict)) > 0.9 * len(strict)


@settings(many, max_examples=30)
@given(seeds)
def test_isl_and_the_interpreter_initialise_at_the_same_instances(seed: int) -> None:
    nest = nest_of(seed)
    rank = len(nest.computation.output.shape)
    pairs = polyhedral.points(first_instances(nest).wrap())
    assert {pair[:rank]: pair[rank:] for pair in pairs} == interpreter.first_instances(nest)


FUSED = parse("conv2d(co=6, ci=4, oh=2, ow=2)").nest()


def test_a_sum_whose_end_runs_before_its_start_reverses_flow() -> None:
    """Split across the sums of a fused loop: of ``co = 1``, at 4 to 7 of ``co_ci``, 6 runs before 4."""
    sequence = "fuse(co, ci) -> split(co_ci, 3) -> reorder(co_ci_inner, co_ci_outer)"
    nest = TransformationSequence.parse(sequence).apply(FUSED)
    violation = reversed_dependence(nest)
    assert violation is not None
    assert violation.kind == "flow"
    x, weight = integers(nest, 0)
    assert not np.array_equal(run(nest, x, weight), run(FUSED, x, weight))


def test_checking_does_not_depend_on_extents() -> None:
    """A nest of 2^40 instances, decided by isl and without it."""
    large = parse("conv2d(co=1024, ci=1024, oh=1024, ow=1024)").nest()
    sequence = "split(ci, 32) -> reorder(ci_inner, co) -> partition(oh, 8) -> on s1: group(co, ci_inner, 4)"
    nest = TransformationSequence.parse(sequence).apply(large)
    assert surely_starts_first(nest)
    assert find_reversed(nest) is None
