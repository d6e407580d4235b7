"""What holds for every operator and every sequence."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loopwright.ir import polyhedral
from loopwright.ir.contraction import operator_form
from loopwright.ir.interpreter import instances, run
from loopwright.ir.printer import print_nest
from loopwright.ir.verify import verify
from loopwright.transformations import TransformationSequence
from tests.sampling import integers, random_nest, random_operator

many = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
seeds = st.integers(0, 2**32)


@many
@given(seeds)
def test_nests_are_valid_after_every_step_and_leave_their_parents_alone(seed: int) -> None:
    rng = random.Random(seed)
    operator = random_operator(rng)
    nest = random_nest(operator, rng, 8)
    while nest.parent is not None:
        verify(nest)
        nest = nest.parent
    assert print_nest(nest) == print_nest(operator.nest())


@many
@given(seeds)
def test_sequences_that_move_keep_every_value_and_the_operator(seed: int) -> None:
    rng = random.Random(seed)
    operator = random_operator(rng)
    nest = random_nest(operator, rng, 8, legal=True)
    original = operator.nest()
    x, weight = integers(nest, seed % 1000)
    if not any(step.transformation.neural for step in TransformationSequence.parse(" -> ".join(nest.steps))):
        assert np.array_equal(run(nest, x, weight), run(original, x, weight))
        assert operator_form(nest).key == operator_form(original).key
    else:
        assert run(nest, x, weight).shape == original.computation.output.shape


@settings(many, max_examples=40)
@given(seeds)
def test_isl_and_the_index_expressions_name_the_same_instances(seed: int) -> None:
    nest = random_nest(random_operator(random.Random(seed)), random.Random(seed), 6)
    names = nest.computation.names
    for statement in nest.statements:
        by_index = {tuple(instance[name] for name in names) for instance in instances(statement)}
        assert len(by_index) == statement.macs
        assert polyhedral.points(statement.domain) == by_index


@many
@given(seeds)
def test_text_round_trips(seed: int) -> None:
    nest = random_nest(random_operator(random.Random(seed)), random.Random(seed), 8)
    sequence = TransformationSequence.parse(" -> ".join(nest.steps) or "identity")
    assert TransformationSequence.parse(str(sequence)) == sequence


@many
@given(seeds)
def test_counts_are_exact(seed: int) -> None:
    nest = random_nest(random_operator(random.Random(seed)), random.Random(seed), 6)
    executed = [instance for statement in nest.statements for instance in instances(statement)]
    read = {tuple(e.evaluate(instance) for e in nest.weight.index) for instance in executed}
    assert nest.macs == len(executed)
    parameters = 0 if nest.computation.two_inputs else len(read)
    assert nest.parameters == parameters
    assert operator_form(nest).parameters == parameters
