"""Verdicts on orders and marks."""

from __future__ import annotations

import pytest

from loopwright.legality.dependences import judge
from loopwright.legality.verdict import Verdict
from loopwright.operators import parse
from loopwright.transformations import TransformationSequence

BASE = parse("conv2d(co=4, ci=4, oh=4, ow=4, kh=3, kw=3)").nest()


def verdict(sequence: str, *, strict: bool = False) -> Verdict:
    return judge(TransformationSequence.parse(sequence).apply(BASE), strict=strict)


def test_orders_are_judged_with_and_without_strictness() -> None:
    assert verdict("reorder(kw, ci)").reason == "all keep their direction, sums being free to change their order"
    refused = verdict("reorder(kw, ci)", strict=True)
    assert (refused.legal, refused.check) == (False, "dependences")
    assert refused.reason == "a reduction dependence is reversed"
    assert refused.witness is not None


@pytest.mark.parametrize("mark", ["parallel(ci)", "vectorize(kw)", "bind(ci, threadIdx.x)", "bind(kh, vthread)"])
def test_marks_that_race_a_sum_are_illegal(mark: str) -> None:
    refused = verdict(mark)
    assert not refused.legal
    assert refused.reason.startswith("a reduction dependence is carried by loop '")
    assert " of s0, which is marked " in refused.reason
    assert refused.witness is not None
    assert refused.witness.startswith("from instance (n=0, co=")


@pytest.mark.parametrize(
    "marks",
    [
        "parallel(co)",
        "unroll(kw, 3)",
        "prefetch(input, ci)",
        "reorder(kw, ow) -> vectorize(ow)",
        "group(co, ci, 2) -> bind(g, blockIdx.x) -> bind(oh, threadIdx.x) -> bind(ow, vthread)",
    ],
)
def test_marks_on_loops_over_outputs_are_legal(marks: str) -> None:
    assert verdict(marks).legal
    assert verdict("parallel(co)").reason.endswith("; no marked loop carries one")


@pytest.mark.parametrize("mark", ["parallel(ci)", "bind(ci, blockIdx.x)", "bind(ci, vthread)", "reorder(ci, co)"])
def test_partial_results_may_be_summed_up_at_the_same_time(mark: str) -> None:
    assert verdict(f"rfactor(ci) -> {mark}").legal
    assert verdict(f"split(ci, 2) -> rfactor(ci_outer) -> {mark.replace('ci', 'ci_outer')}").legal


def test_other_loops_of_the_sum_still_race_and_a_strict_order_is_lost() -> None:
    assert not verdict("rfactor(ci) -> parallel(kh)").legal
    assert not verdict("split(ci, 2) -> rfactor(ci_outer) -> parallel(ci_inner)").legal
    assert not verdict("partition(co, 2) -> on s0: rfactor(ci) -> parallel(ci)").legal
    refused = verdict("rfactor(ci)", strict=True)
    assert refused.reason == "a reduction dependence is cut by rfactor(ci) of s0"
    assert refused.witness is not None


def test_a_mark_on_one_of_several_statements_is_judged() -> None:
    refused = verdict("partition(co, 2) -> on s1: parallel(ci)")
    assert not refused.legal
    assert "of s1, which is marked parallel" in refused.reason
