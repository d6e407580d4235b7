"""Tiles against the elements that the inner loops read, one by one."""

from __future__ import annotations

import random
from itertools import product
from math import prod

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loopwright.errors import NotApplicableError
from loopwright.ir.loopnest import Statement
from loopwright.ir.tile import Tile, element_of, read_access, tile
from loopwright.operators import parse
from loopwright.transformations import TransformationSequence
from tests.sampling import random_nest, random_operator


def read(statement: Statement, tensor: str, inner: dict[str, int], outer: dict[str, int]) -> set[tuple[int, ...]]:
    """The elements read by all iterations of the inner loops in one of the outer ones."""
    element = element_of(statement, read_access(statement, tensor))
    points = product(*map(range, inner.values()))
    values = ({**outer, **dict(zip(inner, point, strict=True))} for point in points)
    return {tuple(expression.evaluate(at) for expression in element) for at in values}


def copied(found: Tile, outer: dict[str, int]) -> set[tuple[int, ...]]:
    start = [expression.evaluate(outer) for expression in found.origin]
    places = product(*map(range, found.shape))
    return {tuple(s + k * step for s, k, step in zip(start, at, found.steps, strict=True)) for at in places}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32))
def test_tiles_hold_what_is_read_and_count_it(seed: int) -> None:
    rng = random.Random(seed)
    statement = rng.choice(random_nest(random_operator(rng), rng, 6).statements)
    tensor, name = rng.choice(("input", "weight")), rng.choice(list(statement.extents))
    try:
        found = tile(statement, tensor, name)
    except NotApplicableError:
        return
    depth = list(statement.extents).index(name) + 1
    inner = dict(list(statement.extents.items())[depth:])
    outer = {loop: rng.randrange(extent) for loop, extent in list(statement.extents.items())[:depth]}
    elements = read(statement, tensor, inner, outer)
    assert elements <= copied(found, outer)
    assert len(elements) == found.elements <= prod(found.shape)
    assert found.memory_bytes == 4 * prod(found.shape)


@pytest.mark.parametrize(
    ("operator", "sequence", "loop", "shape"),
    [
        ("conv2d(co=8, ci=4, oh=8, ow=8, kh=3, kw=3)", "identity", "oh", (1, 1, 3, 10)),
        ("conv2d(co=8, ci=4, oh=8, ow=8, stride=2)", "identity", "ci", (1, 1, 8, 8)),
        ("conv2d(co=8, ci=4, oh=8, ow=8, kh=3, kw=3)", "split(oh, 4)", "oh_outer", (1, 1, 6, 10)),
        ("conv2d(co=8, ci=4, oh=8, ow=8, kh=3, kw=3, dilation=2)", "identity", "oh", (1, 1, 3, 12)),
    ],
)
def test_shapes(operator: str, sequence: str, loop: str, shape: tuple[int, ...]) -> None:
    statement = TransformationSequence.parse(sequence).apply(parse(operator).nest()).statements[0]
    assert tile(statement, "input", loop).shape == shape
