"""A benchmark of participants that need no runtime."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from loopwright.baselines.networks import NOT_INSTALLED, benchmark_network, difference
from loopwright.baselines.participant import Participant
from loopwright.baselines.result import NetworkBenchmark
from loopwright.errors import LoopwrightError
from loopwright.measurement.timer import Protocol
from loopwright.search.progress import SilentProgress
from tests.baselines import fakes

SHORT = Protocol(rounds=3, sample_ms=0.1, warm_up=1)


def benchmark(folder: Path, *participants: Participant) -> NetworkBenchmark:
    return benchmark_network(fakes.task_in(folder), participants, SilentProgress(), SHORT)


def test_participants_take_turns_in_every_round(tmp_path: Path) -> None:
    found = benchmark(tmp_path, fakes.Reference(), fakes.Fast(), fakes.Ours())
    turns = [name for name, _ in groupby((tmp_path / "turns").read_text().split())]
    names = ["eager", "fast", "loopwright"]
    assert turns == names * (1 + SHORT.rounds), "set-up in turn, then the rounds"
    assert [result.name for result in found.results] == names
    assert all(len(result.samples_ms) == SHORT.rounds for result in found.results)
    assert all(result.difference == 0 and result.setup_s is not None for result in found.results)
    assert found.environment["torch"]


def test_whatever_fails_is_a_row_with_a_reason(tmp_path: Path) -> None:
    found = benchmark(
        tmp_path, fakes.Reference(), fakes.Missing(), fakes.Raising(), fakes.Crashing(), fakes.Wrong(), fakes.Ours()
    )
    reasons = {result.name: result.reason for result in found.results if result.median_ms is None}
    assert reasons == {
        "missing": NOT_INSTALLED,
        "raising": "ValueError: no such layer",
        "crashing": "ended by SIGSEGV: free(): invalid pointer",
        "wrong": "not timed: differs from PyTorch by 5.0e-03 of the largest output",
    }
    assert found.ours.median_ms is not None


def test_another_precision_may_differ(tmp_path: Path) -> None:
    _, rounding, _ = benchmark(tmp_path, fakes.Reference(), fakes.Rounding(), fakes.Ours()).results
    assert rounding.median_ms is not None
    assert rounding.difference == pytest.approx(5e-3, rel=1e-3)


def test_another_network_is_timed_and_not_compared(tmp_path: Path) -> None:
    *_, chosen = benchmark(tmp_path, fakes.Reference(), fakes.Ours(), fakes.Chosen()).results
    assert chosen.median_ms is not None
    assert chosen.difference is None
    assert not chosen.stock


def test_nothing_is_compared_without_the_reference(tmp_path: Path) -> None:
    class_of = type("Reference", (fakes.Missing,), {"name": "eager"})
    with pytest.raises(LoopwrightError, match="PyTorch \\(eager\\) can't run the network: not installed"):
        benchmark(tmp_path, class_of(), fakes.Ours())


def test_differences_are_relative_to_the_largest_value_of_each_output() -> None:
    want = [np.array([0.0, 10.0]), np.array([1.0])]
    assert difference([np.array([1.0, 10.0]), np.array([1.0])], want) == pytest.approx(0.1)
    assert difference([np.array([0.0, 10.0]), np.array([np.nan])], want) == float("inf")
    assert difference([np.array([0.0, 10.0])], want) == float("inf")
