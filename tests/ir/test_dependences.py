from __future__ import annotations

import pytest

from loopwright.ir.dependences import carried_dependence, reversed_dependence
from loopwright.ir.loopnest import LoopNest
from loopwright.operators import parse
from loopwright.transformations import TransformationSequence

BASE = parse("conv2d(co=4, ci=4, oh=4, ow=4, kh=3, kw=3)").nest()


def after(sequence: str) -> LoopNest:
    return TransformationSequence.parse(sequence).apply(BASE)


@pytest.mark.parametrize(
    "sequence", ["identity", "reorder(oh, co)", "split(kw, 3)", "tile(oh: 2, ow: 2)", "unroll(ci, 2)"]
)
def test_orders_that_keep_every_sum_in_order(sequence: str) -> None:
    assert reversed_dependence(after(sequence), strict=True) is None


@pytest.mark.parametrize(
    "sequence", ["reorder(kw, kh)", "reorder(kh, ci)", "split(ci, 2) -> reorder(ci_inner, ci_outer)"]
)
def test_reordered_reductions_are_reversed_only_if_order_is_strict(sequence: str) -> None:
    assert reversed_dependence(after(sequence)) is None
    violation = reversed_dependence(after(sequence), strict=True)
    assert violation is not None
    assert violation.kind == "reduction"
    outputs = [tuple(value for name, value in pair if name in ("n", "co", "oh", "ow")) for pair in _pair(violation)]
    assert outputs[0] == outputs[1], "the witness is two instances of one output"
    assert violation.source < violation.sink, "the source ran first before"


def test_statements_in_the_wrong_order_are_found() -> None:
    swapped = after("partition(ci, 2)")
    swapped = LoopNest(swapped.computation, swapped.statements[::-1])
    assert reversed_dependence(swapped, strict=True) is not None


@pytest.mark.parametrize(("loop", "carries"), [("co", False), ("oh", False), ("ci", True), ("kh", True), ("kw", True)])
def test_only_reduction_loops_carry_dependences(loop: str, carries: bool) -> None:
    violation = carried_dependence(BASE, BASE.statements[0], loop)
    assert (violation is not None) == carries
    assert violation is None or f"carried by loop {loop!r}" in str(violation)


def test_a_fused_loop_of_outputs_and_reductions_carries() -> None:
    nest = after("fuse(co, ci)")
    assert carried_dependence(nest, nest.statements[0], "co_ci") is not None


def test_a_group_loop_carries_nothing() -> None:
    nest = after("group(co, ci, 2)")
    assert carried_dependence(nest, nest.statements[0], "g") is None


def _pair(violation):  # type: ignore[no-untyped-def]
    return violation.source, violation.sink
