"""What an operator needs for some channels of its output, held against its statement instances one by one."""

from __future__ import annotations

import random

import numpy as np
import pytest

from loopwright.ir.contraction import operator_form
from loopwright.ir.interpreter import completion_table, instances
from loopwright.ir.liveness import channels_read, needed_outputs, outputs_of
from loopwright.ir.loopnest import LoopNest
from loopwright.operators import parse
from loopwright.transformations import TransformationSequence
from tests.sampling import random_nest, random_operator


def nest_of(operator: str, sequence: str) -> LoopNest:
    return TransformationSequence.parse(sequence).apply(parse(operator).nest())


def read_one_by_one(nest: LoopNest, live: np.ndarray) -> set[int]:
    """The input channels of the instances that write what the live channels of the first image take."""
    shape = nest.computation.output.shape
    needed = set(completion_table(nest.completion, shape)[0, live].ravel().tolist())
    read = set()
    for statement in nest.statements:
        for instance in instances(statement):
            written = tuple(expression.evaluate(instance) for expression in nest.computation.output.index)
            if int(np.ravel_multi_index(written, shape)) in needed:
                read.add(nest.computation.input.index[1].evaluate(instance))
    return read


@pytest.mark.parametrize("seed", range(60))
def test_channels_read_are_those_of_the_instances(seed: int) -> None:
    rng = random.Random(seed)
    nest = random_nest(random_operator(rng), rng, 6)
    live = np.array([rng.random() < 0.4 for _ in range(nest.computation.output.shape[1])])
    assert set(np.flatnonzero(channels_read(operator_form(nest), live)).tolist()) == read_one_by_one(nest, live)


@pytest.mark.parametrize("seed", range(20))
def test_statements_write_what_their_instances_write(seed: int) -> None:
    rng = random.Random(seed)
    nest = random_nest(random_operator(rng), rng, 5)
    for statement in nest.statements:
        written = np.zeros(nest.computation.output.shape[1:], bool)
        for instance in instances(statement):
            written[tuple(expression.evaluate(instance) for expression in nest.computation.output.index[1:])] = True
        assert np.array_equal(outputs_of(statement), written)


@pytest.mark.parametrize(
    ("sequence", "live", "read"),
    [
        ("identity", [0], [0, 1, 2, 3]),
        ("group(co, ci, 2)", [0, 1], [0, 1]),
        ("group(co, ci, 2)", [3], [2, 3]),
        ("depthwise(co, ci)", [1, 3], [1, 3]),
        ("bottleneck(ci, 2)", [0, 3], [0, 1]),
        ("bottleneck(ci, 2, keep=stride)", [0, 3], [0, 2]),
        ("group(co, ci, 2) -> bottleneck(g, 2)", [2], [0, 1]),
        ("depthwise(co, ci)", [], []),
        ("group(co, ci, 2) -> bottleneck(g, 2, complete=project)", [3], [0, 1]),
        ("group(co, ci, 2) -> bottleneck(g, 2, complete=project)", [], []),
    ],
)
def test_known_operators(sequence: str, live: list[int], read: list[int]) -> None:
    form = operator_form(nest_of("conv2d(co=4, ci=4, oh=4, ow=4, kh=3, kw=3)", sequence))
    assert np.flatnonzero(channels_read(form, np.isin(np.arange(4), live))).tolist() == read


def test_a_dropped_output_needs_the_one_that_it_repeats() -> None:
    form = operator_form(nest_of("conv2d(co=4, ci=4, oh=4, ow=4)", "bottleneck(co, 2)"))
    needed = needed_outputs(form, np.array([False, False, False, True]))
    assert needed.any((1, 2)).tolist() == [False, True, False, False]
