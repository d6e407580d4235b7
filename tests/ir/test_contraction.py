from __future__ import annotations

import pytest

from loopwright.ir.contraction import Dim, operator_form
from loopwright.operators import parse
from loopwright.transformations import TransformationSequence

TEXT = "conv2d(co=8, ci=8, oh=4, ow=4, kh=3, kw=3)"
BASE = parse(TEXT).nest()


def form(sequence: str, text: str = TEXT):  # type: ignore[no-untyped-def]
    return operator_form(TransformationSequence.parse(sequence).apply(parse(text).nest()))


def test_dims_come_in_the_order_of_their_roles() -> None:
    (contraction,) = form("group(co, ci, 2)").contractions
    assert [dim.role for dim in contraction.dims] == ["pixel", "pixel", "group", "out", "reduce", "reduce", "reduce"]
    assert contraction.of("group") == (Dim(2, (4, 0, 0), (4, 0, 0), True),)
    assert contraction.weight_shape == (2, 4, 4, 3, 3)
    assert contraction.input_offset == (0, -1, -1)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("reorder(kw, co) -> split(oh, 2) -> fuse(ci, oh_outer)", "identity"),
        ("partition(co, 3) -> on s1: unroll(ci, 2)", "identity"),
        ("group(co, ci, 2) -> reorder(co, ci, g) -> group(co, ci, 2)", "group(co, ci, 4)"),
        ("depthwise(co, ci)", "group(co, ci, 8)"),
        ("bottleneck(co, 2) -> bottleneck(co, 2)", "bottleneck(co, 4)"),
        ("bottleneck(kh, 3) -> bottleneck(kw, 3)", "bottleneck(kw, 3) -> bottleneck(kh, 3)"),
    ],
)
def test_equal_operators_are_recognised(one: str, other: str) -> None:
    assert form(one).key == form(other).key


def test_a_grouped_operator_equals_the_grouped_nest() -> None:
    assert form("group(co, ci, 2)").contractions == form("identity", TEXT[:-1] + ", groups=2)").contractions


def test_different_operators_have_different_keys() -> None:
    sequences = [
        "identity",
        "group(co, ci, 2)",
        "bottleneck(ci, 2)",
        "bottleneck(ci, 2, keep=stride)",
        "bottleneck(co, 2)",
        "bottleneck(co, 2, keep=stride)",
        "bottleneck(oh, 2)",
        "partition(ci, 4) -> on s1: bottleneck(co, 2)",
    ]
    assert len({form(sequence).key for sequence in sequences}) == len(sequences)


def test_shared_weights_are_counted_once() -> None:
    shared = form("partition(oh, 2) -> on s1: bottleneck(ci, 2)")
    assert len(shared.contractions) == 2
    assert shared.parameters == 8 * 8 * 9
    assert form("partition(ci, 4) -> on s1: bottleneck(co, 2)").parameters == 8 * 4 * 9 + 4 * 4 * 9


def test_the_batch_does_not_matter() -> None:
    batched = TEXT.replace("co=8", "n=2, co=8", 1)
    assert form("partition(n, 1) -> on s0: unroll(ci, 2)", batched).key == form("identity").key


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("untie(oh) -> untie(ow)", "untie(ow) -> untie(oh)"),
        ("untie(oh)", "split(oh, 2) -> untie(oh_inner) -> untie(oh_outer)"),
        ("partition(ci, 4) -> on s1: drop()", "bottleneck(ci, 2)"),
        ("group(oh, co, 2)", "split(oh, 2) -> group(oh_outer, co, 2) -> fuse(oh_outer, co)"),
    ],
)
def test_equal_operators_have_equal_keys(first: str, second: str) -> None:
    nest = parse("conv2d(co=8, ci=8, oh=4, ow=4, kh=3, kw=3)").nest()
    keys = {operator_form(TransformationSequence.parse(text).apply(nest)).key for text in (first, second)}
    assert len(keys) == 1
