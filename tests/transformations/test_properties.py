"""Sets and counts against enumeration; all else that holds for every sequence is in `tests/properties`."""

from __future__ import annotations

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loopwright.ir import polyhedral
from loopwright.ir.contraction import operator_form
from loopwright.ir.interpreter import instances
from tests.sampling import random_nest, random_operator

many = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
seeds = st.integers(0, 2**32)


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
def test_counts_are_exact(seed: int) -> None:
    nest = random_nest(random_operator(random.Random(seed)), random.Random(seed), 6)
    executed = [instance for statement in nest.statements for instance in instances(statement)]
    read = {tuple(e.evaluate(instance) for e in nest.weight.index) for instance in executed}
    assert nest.macs == len(executed)
    parameters = 0 if nest.computation.two_inputs else len(read)
    assert nest.parameters == parameters
    assert operator_form(nest).parameters == parameters
