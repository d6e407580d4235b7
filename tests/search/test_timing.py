"""Operators that crash, hang or take all memory while they are built: one failure each, and the others are timed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loopwright.ir.contraction import OperatorForm, operator_form
from loopwright.isolation import GIB, Bounds
from loopwright.lowering.kernel import schedules
from loopwright.lowering.schedules.schedule import CpuSchedule
from loopwright.measurement.timer import Protocol
from loopwright.measurement.tune import Tuned, TuningError, tune_checked
from loopwright.operators import parse
from loopwright.search import timing
from loopwright.search.timing import FAILED, OperatorLatencies
from loopwright.store import Failure, Store, TimingKey
from loopwright.targets.cpu import cpu

SHORT = Protocol(rounds=3, sample_ms=0.2, cold_bytes=1024)
BOUNDS = Bounds(seconds=12, memory_bytes=2 * GIB)
TARGET = cpu(threads=2)


def conv(co: int, ci: int, size: int) -> OperatorForm:
    return operator_form(parse(f"conv2d(co={co}, ci={ci}, oh={size}, ow={size}, kh=3, kw=3)").nest())


SEGFAULTS, HANGS, SWALLOWS, REFUSES, HALF = (conv(16, ci, 4) for ci in (16, 32, 48, 64, 80))
GOOD = conv(32, 16, 4)


def faulty(form: OperatorForm, *arguments: Any) -> Tuned:
    """In place of `tune_checked`: what some operators would do."""
    missing: Sequence[CpuSchedule] = arguments[4]
    if form == SEGFAULTS or (form == HALF and schedules(form, TARGET)[1] in missing):
        os.kill(os.getpid(), signal.SIGSEGV)
    if form == HANGS:
        time.sleep(600)
    if form == SWALLOWS:
        held = []
        while True:
            held.append(b"x" * (64 * 1024**2))
    if form == REFUSES:
        raise TuningError("build", f"{missing[0]}: no such tile")
    return tune_checked(form, *arguments)


def latencies(store: Store, bounds: Bounds = BOUNDS, **named: Any) -> OperatorLatencies:
    return OperatorLatencies(1, TARGET, store, SHORT, bounds=bounds, **named)


def failures(store: Store, of: OperatorLatencies, form: OperatorForm) -> list[Failure | None]:
    keys = [
        TimingKey(f"{form.key} n=1", TARGET.name, str(own), of.environment_hash, str(SHORT))
        for own in schedules(form, TARGET)[:2]
    ]
    return [store.failure(key) for key in keys]


@pytest.mark.parametrize(
    ("form", "stage", "message"),
    [
        (SEGFAULTS, "crash", "ended by SIGSEGV"),
        (HANGS, "time limit", "not done within 12 s"),
        (SWALLOWS, "memory limit", "more than 2 GiB of memory"),
        (REFUSES, "build", "no such tile"),
    ],
)
def test_a_fault_is_recorded_and_others_are_timed(
    form: OperatorForm, stage: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "tune_checked", faulty)
    bounds = BOUNDS if form == HANGS else replace(BOUNDS, seconds=60)
    with Store.open(tmp_path / "store.sqlite") as store:
        with latencies(store, bounds, tried=1) as first:
            assert first.of_form(form, "group(co, ci, 2)") == FAILED
            assert first.of_form(GOOD).latency_ms > 0
        assert first.failures == [f"group(co, ci, 2), {schedules(form, TARGET)[0]}: {stage}: {message}"]
        failure, _ = failures(store, first, form)
        assert failure is not None
        assert (failure.stage, failure.message) == (stage, message)
        counts = store.counts()
        with latencies(store, tried=1) as second:
            start = time.monotonic()
            assert second.of_form(form) == FAILED
            assert second.of_form(GOOD) == first.of_form(GOOD)
            assert time.monotonic() - start < 1
        assert store.counts() == counts, "a later run tries nothing that failed"
        assert (second.reuse.found, second.reuse.made) == (2, 0)


def test_a_schedule_that_fails_leaves_the_other_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "tune_checked", faulty)
    with Store.open(tmp_path / "store.sqlite") as store:
        with latencies(store) as first:
            assert first.of_form(HALF).schedule == schedules(HALF, TARGET)[0]
        assert [failure is None for failure in failures(store, first, HALF)] == [True, False]
        with latencies(store) as second:
            assert second.of_form(HALF) == first.of_form(HALF)


def test_what_failed_is_tried_again_when_asked_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store.open(tmp_path / "store.sqlite") as store:
        with monkeypatch.context() as patched, latencies(store) as first:
            patched.setattr(timing, "tune_checked", faulty)
            assert first.of_form(SEGFAULTS) == FAILED
        with latencies(store, retry=True) as again:
            assert again.of_form(SEGFAULTS).latency_ms > 0
        with latencies(store) as later:
            assert later.of_form(SEGFAULTS) == again.of_form(SEGFAULTS)


def test_a_failure_that_an_older_version_recorded_counts_for_all_schedules(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store.sqlite") as store, latencies(store) as found:
        key = TimingKey(f"{GOOD.key} n=1", TARGET.name, "any", found.environment_hash, str(SHORT))
        store.record_failure(Failure(key, "check", "differs"))
        assert found.of_form(GOOD) == FAILED
