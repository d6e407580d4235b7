"""What a store promises, in a file and on PostgreSQL alike."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isnan, nan

import pytest

from loopwright.errors import StoreError
from loopwright.legality.verdict import Verdict
from loopwright.store import Failure, Store, StoreCounts, TimingKey, VerdictCount, VerdictKey

KEY = TimingKey("3f2a", "cpu", "tile(co: 32, ow: 7)", "9c1e", "cold, 5 x 3")
VERDICT_KEY = VerdictKey("net", "layer1.0.conv1: group(co, ci, 2)", "fisher", "abc")


def of(operator: str, schedule: str = KEY.schedule) -> TimingKey:
    return TimingKey(operator, KEY.target, schedule, KEY.environment, KEY.protocol)


def test_a_timing_comes_back_with_every_sample(store: Store):
    assert store.timing(KEY) is None
    store.record_timing(KEY, [1.5, 0.1 + 0.2, 1e-7])
    timing = store.timing(KEY)
    assert timing is not None
    assert timing.samples_ms == (1.5, 0.1 + 0.2, 1e-7)
    assert timing.median_ms == 0.1 + 0.2


def test_samples_of_a_second_recording_are_added(store: Store):
    store.record_timing(KEY, [1.0])
    store.record_timing(KEY, [3.0])
    timing = store.timing(KEY)
    assert timing is not None
    assert timing.samples_ms == (1.0, 3.0)
    assert store.timings(KEY.operator, KEY.target, KEY.environment) == [timing]


@pytest.mark.parametrize("field", ["operator", "target", "schedule", "environment", "protocol"])
def test_whatever_could_change_a_timing_is_part_of_its_key(store: Store, field: str):
    store.record_timing(KEY, [1.0])
    assert store.timing(TimingKey(**{**vars(KEY), field: "other"})) is None


def test_the_timings_of_an_operator_come_fastest_first(store: Store):
    slower = of(KEY.operator, "tile(co: 16, ow: 4)")
    store.record_timing(slower, [2.0])
    store.record_timing(KEY, [1.0])
    found = store.timings(KEY.operator, KEY.target, KEY.environment)
    assert [timing.key for timing in found] == [KEY, slower]
    assert store.timings("never", KEY.target, KEY.environment) == []


def test_the_timings_of_many_operators_come_at_once(store: Store):
    for operator in ("a", "b", "c"):
        store.record_timing(of(operator, "slow"), [3.0, 4.0, 5.0])
        store.record_timing(of(operator, "fast"), [1.0])
    store.record_timing(TimingKey("a", "cuda", "fast", KEY.environment, KEY.protocol), [0.1])
    wanted = ["c", "a", "a", "never", *(f"never{number}" for number in range(2500))]
    found = store.timings_by_operator(KEY.target, KEY.environment, wanted)
    assert found.keys() == {"a", "c"}
    assert found["a"] == store.timings("a", KEY.target, KEY.environment)
    assert [timing.key.schedule for timing in found["c"]] == ["fast", "slow"]
    assert store.timings_by_operator(KEY.target, KEY.environment, []) == {}


def test_a_timing_needs_samples(store: Store):
    with pytest.raises(StoreError, match="no samples to record for operator 3f2a"):
        store.record_timing(KEY, [])


@pytest.mark.parametrize("sample", [nan, inf])
def test_a_sample_is_a_number(store: Store, sample: float):
    with pytest.raises(StoreError, match="are not all numbers"):
        store.record_timing(KEY, [1.0, sample])
    assert store.timing(KEY) is None


def test_a_verdict_comes_back_whole_and_the_latest_stands(store: Store):
    assert store.verdict(VERDICT_KEY) is None
    store.record_verdict(VERDICT_KEY, Verdict(True, "fisher", "not below the original", None, {"score": 1.0}))
    verdict = Verdict(False, "fisher", "below the original", "layer1", {"score": 0.25, "original": 0.5})
    store.record_verdict(VERDICT_KEY, verdict)
    assert store.verdict(VERDICT_KEY) == verdict


def test_scores_need_not_be_finite(store: Store):
    store.record_verdict(VERDICT_KEY, Verdict(False, "fisher", "exploded", None, {"score": inf, "original": nan}))
    verdict = store.verdict(VERDICT_KEY)
    assert verdict is not None
    assert verdict.scores["score"] == inf
    assert isnan(verdict.scores["original"])


@dataclass(frozen=True)
class LongerKey(VerdictKey):
    protocol: str = ""


def test_a_key_may_have_fields_that_the_tables_do_not_know(store: Store):
    verdict = Verdict(True, "fisher", "not below the original")
    longer = LongerKey("net", "identity", "fisher", "abc", protocol="float64")
    store.record_verdict(longer, verdict)
    assert store.verdict(longer) == verdict
    assert store.verdict(LongerKey("net", "identity", "fisher", "abc", protocol="float32")) is None


def test_verdicts_are_counted_by_check_outcome_and_kind_of_reason(store: Store):
    for number in range(3):
        reason = f"input coverage: {number} of 1024 pixels are not read"
        store.record_verdict(VerdictKey("net", str(number), "structure"), Verdict(False, "structure", reason))
    store.record_verdict(VerdictKey("net", "3", "fisher"), Verdict(True, "fisher", "not below"))
    store.record_verdict(VerdictKey("other", "3", "fisher"), Verdict(True, "fisher", "not below"))
    structure = VerdictCount("structure", False, "input coverage", 3)
    assert store.verdict_counts() == [structure, VerdictCount("fisher", True, "not below", 2)]
    assert store.verdict_counts("net") == [structure, VerdictCount("fisher", True, "not below", 1)]
    assert store.verdict_counts("unknown") == []


def test_reasons_may_be_long(store: Store):
    verdict = Verdict(False, "fisher", "x" * 10_000)
    store.record_verdict(VERDICT_KEY, verdict)
    assert store.verdict(VERDICT_KEY) == verdict
    [counted] = store.verdict_counts()
    assert verdict.reason.startswith(counted.kind)


def test_keys_do_not_run_into_each_other():
    assert VerdictKey("a", "bc", "x").digest != VerdictKey("ab", "c", "x").digest


def test_the_latest_failure_of_a_workload_is_known(store: Store):
    assert store.failure(KEY) is None
    store.record_failure(Failure(KEY, "build", "out of registers"))
    store.record_failure(Failure(KEY, "run", "timed out"))
    assert store.failure(KEY) == Failure(KEY, "run", "timed out")


def test_messages_of_compilers_may_hold_anything(store: Store):
    store.record_failure(Failure(KEY, "build", "no such symbol: \0 \udcff é 核"))
    assert store.failure(KEY) == Failure(KEY, "build", "no such symbol: \N{REPLACEMENT CHARACTER} ? é 核")


def test_an_environment_is_recorded_once(store: Store):
    store.record_environment("9c1e", {"processor": "x86", "threads": 2})
    store.record_environment("9c1e", {"processor": "x86", "threads": 2})
    assert store.environment("9c1e") == {"processor": "x86", "threads": 2}
    assert store.environment("none") is None


def test_what_is_kept_is_counted(store: Store):
    assert store.counts() == StoreCounts(0, 0, 0, 0, 0)
    store.record_timing(KEY, [1.0, 2.0])
    store.record_timing(KEY, [3.0])
    store.record_verdict(VERDICT_KEY, Verdict(True, "fisher", "not below"))
    store.record_failure(Failure(KEY, "run", "timed out"))
    store.record_environment("9c1e", {})
    assert store.counts() == StoreCounts(verdicts=1, timings=2, samples=3, failures=1, environments=1)


def test_another_opening_finds_what_was_recorded(where: str):
    with Store.open(where) as first:
        first.record_timing(KEY, [1.0])
    with Store.open(where) as second:
        assert second.timing(KEY) is not None
