"""Targets by name."""

from __future__ import annotations

import pytest

from loopwright import targets
from loopwright.errors import ArgumentError


def test_every_target_has_the_name_it_is_registered_under() -> None:
    assert {"cpu", "cpu-avx512", "cpu-avx2", "cpu-neon", "cuda"} <= set(targets.known())
    assert all(targets.named(name).name == name for name in targets.known())


def test_threads_are_the_targets_own_unless_given() -> None:
    assert targets.named("cpu-neon").threads == 2
    assert targets.named("cpu-neon", 4).tvm_target["num-cores"] == 4
    assert targets.named("cpu", 1).threads == 1


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ArgumentError, match=r"unknown target 'cpu-sse'; known: cpu, cpu-avx2, cpu-avx512, cpu-neon"):
        targets.named("cpu-sse")


@pytest.mark.parametrize(
    ("name", "threads", "message"),
    [("cpu-avx2", 0, "needs at least 1 thread, not 0"), ("cuda", 2, "cuda takes no number of threads")],
)
def test_impossible_threads_are_refused(name: str, threads: int, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        targets.named(name, threads)
