"""The benchmark of single operators, on small ones; no test looks at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from loopwright import targets
from loopwright.baselines import operators
from loopwright.baselines.operators import OPERATOR_SUITE, Case, OperatorRow, benchmark_operators
from loopwright.errors import ArgumentError, NotApplicableError
from loopwright.measurement.peak import level_of
from loopwright.measurement.tune import TuningError
from loopwright.targets.cpu import cpu

SMALL = (
    "conv2d(co=16, ci=16, oh=4, ow=4, kh=3, kw=3)",
    "conv2d(co=16, ci=16, oh=4, ow=4, kh=3, kw=3) | group(co, ci, 2)",
    "conv2d(n=2, co=16, ci=16, oh=4, ow=4, kh=3, kw=3) | depthwise(co, ci)",
    "conv2d(co=16, ci=16, oh=4, ow=4) | bottleneck(co, 2, complete=project)",
    "conv1d(co=16, ci=16, ow=8, kw=3)",
    "conv3d(co=16, ci=16, od=2, oh=4, ow=4, kd=3, kh=3, kw=3)",
    "linear(co=16, ci=32)",
    "matmul(h=2, m=8, p=16, k=8)",
)


def test_every_kind_of_case_gives_a_row_as_soon_as_it_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operators, "TRIED", 3)
    seen: list[OperatorRow] = []
    rows = benchmark_operators(SMALL, cpu(), 1, seen.append)
    assert rows == seen
    assert [row.reason for row in rows] == [""] * len(SMALL)
    for row in rows:
        assert row.figures is not None
        assert row.figures.schedule
        assert len(row.figures.warm.samples_ms) == len(row.figures.cold.samples_ms) == 1
        assert row.share_of_peak(row.figures.warm) > 0
        assert row.share_of_bandwidth > 0
        assert row.share_of_copy > 0


def test_counts_are_the_nests_own() -> None:
    dense, grouped, depthwise, *_ = (Case.parse(text) for text in SMALL)
    assert (dense.nest.macs, dense.images) == (16 * 16 * 16 * 9, 1)
    assert grouped.nest.macs == dense.nest.macs // 2
    assert (grouped.operator, grouped.sequence) == (dense.operator, "group(co, ci, 2)")
    assert dense.memory_bytes == 4 * (16 * 16 + 16 * 16 * 9 + 16 * 16)
    assert (depthwise.images, depthwise.memory_bytes) == (2, 4 * (2 * 16 * 16 + 16 * 9 + 2 * 16 * 16))


def test_an_operator_that_cannot_be_tuned_is_a_row_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object, **__: object) -> None:
        raise TuningError("build", "no such tile")

    monkeypatch.setattr(operators, "build_schedules", failing)
    [row] = benchmark_operators(SMALL[:1], cpu(), 1, lambda _: None)
    assert (row.figures, row.reason) == (None, "no such tile")
    assert row.share_of_bandwidth == row.share_of_copy == 0


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("conv2d(co=16) | ", ArgumentError, "has no sequence after the bar"),
        ("conv9d(co=16)", ArgumentError, "unknown operator"),
        (f"{SMALL[0]} | group(co, ci, 3)", NotApplicableError, "group"),
    ],
)
def test_cases_are_read_before_anything_is_timed(text: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        benchmark_operators([SMALL[0], text], cpu(), 1, lambda row: pytest.fail(f"timed {row.operator}"))


def test_code_for_another_machine_is_not_timed() -> None:
    with pytest.raises(ArgumentError, match="held against a processor's peak; take target=cpu"):
        benchmark_operators(SMALL[:1], targets.named("cuda"), 1, lambda _: None)


def test_the_suite_makes_nests_of_every_intensity_and_level() -> None:
    target = replace(cpu(threads=2), l1_bytes=48 * 1024, l2_bytes=1024 * 1024)
    cases = [Case.parse(text) for text in OPERATOR_SUITE]
    assert len({(case.operator, case.sequence) for case in cases}) == len(cases)
    rows = [OperatorRow(case.operator, case.sequence, case.nest.macs, case.memory_bytes, "", None) for case in cases]
    assert all(row.moves_much for row in rows if "depthwise" in row.sequence)
    assert not any(row.moves_much for row in rows if row.sequence == "identity" and "co=64, ci=64" in row.operator)
    assert {level_of(case.memory_bytes, target).name for case in cases} == {"L1", "L2", "beyond L2"}


def test_the_sequence_decides_the_schedule_and_what_can_not_be_followed_is_told() -> None:
    [row] = benchmark_operators([f"{SMALL[0]} | tile(oh: 2, ow: 2) -> prefetch(input, ci)"], cpu(), 1, lambda _: None)
    assert row.figures is not None
    assert " rows=2 columns=2" in row.figures.schedule
    assert row.ignored == ("prefetch(input, ci): kernels fetch ahead vectors of weights only",)
