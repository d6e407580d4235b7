from __future__ import annotations

import random

import pytest

from loopwright.ir.interpreter import instances
from loopwright.ir.loopnest import LoopNest
from loopwright.ir.traffic import Traffic, traffic
from loopwright.operators import parse
from loopwright.transformations import TransformationSequence
from tests.sampling import OPERATORS, random_nest


def enumerated(nest: LoopNest) -> Traffic:
    """The elements that the instances touch one by one."""
    accesses = (nest.computation.input, nest.weight, nest.computation.output)
    touched = [set(), set(), set()]
    for statement in nest.statements:
        for instance in instances(statement):
            for access, found in zip(accesses, touched, strict=True):
                element = tuple(expression.evaluate(instance) for expression in access.index)
                if all(0 <= k < extent for k, extent in zip(element, access.shape, strict=True)):
                    found.add(element)
    own = Traffic(*map(len, touched))
    return own if nest.projection is None else own + enumerated(nest.projection.nest)


@pytest.mark.parametrize("seed", range(60))
def test_traffic_is_what_the_instances_touch(seed: int) -> None:
    nest = random_nest(parse(OPERATORS[seed % len(OPERATORS)]), random.Random(seed), 5)
    assert traffic(nest) == enumerated(nest)


def test_versions_and_projections_count() -> None:
    nest = parse(OPERATORS[0]).nest()
    sequence = "split(oh, 2) -> untie(oh_outer) -> bottleneck(co, 2, complete=project)"
    after = TransformationSequence.parse(sequence).apply(nest)
    assert traffic(after) == enumerated(after)
    assert traffic(after).weight == 2 * nest.parameters // 2 + 4 * 2
