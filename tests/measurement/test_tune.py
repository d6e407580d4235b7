"""Tuning, end to end on a small operator."""

from __future__ import annotations

import tvm

from loopwright.lowering.kernel import Epilogue
from loopwright.lowering.schedules.variants import variants
from loopwright.lowering.threads import set_threads
from loopwright.measurement.timer import Protocol
from loopwright.measurement.tune import tune
from loopwright.targets.cpu import cpu
from tests.lowering.forms import conv

SHORT = Protocol(rounds=3, sample_ms=0.2, cold_bytes=1024)


def test_the_fastest_of_the_tried_is_kept() -> None:
    form, target = conv(16, 16, 8), cpu(threads=1)
    tuned = tune(form, 1, Epilogue(relu=True), target, SHORT, tried=2)
    tried = {tuned.schedule, *(schedule for schedule, _ in tuned.others)}
    assert tried == set(variants(form, target)[:2])
    assert all(tuned.measurement.median_ms <= measurement.median_ms for _, measurement in tuned.others)


def test_one_variant_is_timed_however_short_the_budget() -> None:
    assert not tune(conv(16, 16, 4), 1, Epilogue(), cpu(threads=1), SHORT, budget_s=0.0).others


def test_threads_are_what_the_target_says() -> None:
    running = tvm.get_global_func("runtime.NumThreads")
    most = cpu().threads
    for threads in (1, most):
        set_threads(threads)
        assert running() == threads
