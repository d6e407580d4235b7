"""Tuning, end to end on a small operator."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Sequence
from dataclasses import replace
from time import process_time, sleep

import pytest
import tvm

from loopwright.ir.contraction import operator_form
from loopwright.lowering.kernel import Epilogue, build_kernel
from loopwright.lowering.schedules.variants import variants
from loopwright.lowering.threads import set_threads
from loopwright.measurement import tolerances
from loopwright.measurement import tune as tuning
from loopwright.measurement.agreement import Agreement
from loopwright.measurement.build import compile_function
from loopwright.measurement.timer import Call, Clock, Measurement, Protocol, measure
from loopwright.measurement.tune import TuningError, tune, tune_checked
from loopwright.operators import parse
from loopwright.targets.cpu import cpu
from loopwright.targets.target import FLOAT32
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


@pytest.mark.parametrize(
    "text",
    [
        "conv1d(co=16, ci=16, ow=8, kw=3)",
        "conv3d(co=16, ci=16, od=2, oh=4, ow=4, kd=3, kh=3, kw=3)",
        "linear(n=2, co=16, ci=32, tokens=3)",
    ],
)
def test_operators_over_other_axes_are_tuned_and_held_against_pytorch(text: str) -> None:
    form, target, epilogue = operator_form(parse(text).nest()), cpu(threads=1), Epilogue(True, True, True, True)
    agreement = Agreement.of(form, 2, epilogue, target)
    tuned = tune(form, 2, epilogue, target, SHORT, tried=2, agreement=agreement)
    kernel = build_kernel(form, 2, epilogue, target, tuned.schedule)
    assert agreement.error(kernel, compile_function(kernel.primfunc, target)) < tolerances.KERNEL[FLOAT32]
    wrong = replace(agreement, expected=agreement.expected + 1)
    with pytest.raises(TuningError, match="differs from PyTorch"):
        tune(form, 2, epilogue, target, SHORT, tried=1, agreement=wrong)


def test_the_thread_that_times_has_the_threads_of_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[object] = []

    def set_here(threads: int) -> None:
        said.append((threads, threading.current_thread()))
        set_threads(threads)

    def timed(calls: Sequence[Call], protocol: Protocol, clock: Clock) -> list[Measurement]:
        assert (cpu().threads, threading.current_thread()) in said
        return measure(calls, protocol, clock)

    monkeypatch.setattr(tuning, "set_threads", set_here)
    monkeypatch.setattr(tuning, "measure", timed)
    tune(conv(16, 16, 8), 1, Epilogue(), cpu(), SHORT)


def test_a_failure_keeps_its_stage_from_process_to_process() -> None:
    received = pickle.loads(pickle.dumps(TuningError("check", "rows=2: differs")))
    assert (received.stage, str(received)) == ("check", "rows=2: differs")


def test_whatever_goes_wrong_is_a_failure_of_that_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise IndexError("no such loop\nat line 3")

    form = operator_form(parse("conv2d(co=16, ci=16, oh=8, ow=8)").nest())
    monkeypatch.setattr("loopwright.measurement.kernel_files.build_kernel", broken)
    with pytest.raises(TuningError, match="^IndexError: no such loop$") as failed:
        tune_checked(form, 1, Epilogue(), cpu(threads=1), SHORT, variants(form, cpu())[:1], 1.0)
    assert failed.value.stage == "build"


def test_threads_that_build_do_not_keep_processors_busy() -> None:
    for channels in (4, 8, 12):
        form = operator_form(parse(f"conv2d(co={channels}, ci=4, oh=4, ow=4, kh=3, kw=3)").nest())
        tune(form, 1, Epilogue(), cpu(), Protocol(rounds=1, sample_ms=0.1), tried=2)
    assert any(_is_idle() for _ in range(40)), "in 20 s; TVM's own threads rest a while after their last work"


def _is_idle() -> bool:
    """Whether no thread of this process was busy for half a second."""
    before = process_time()
    sleep(0.5)
    return process_time() - before < 0.1
