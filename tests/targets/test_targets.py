"""Targets by name."""

from __future__ import annotations

import pytest

from loopwright import targets
from loopwright.errors import ArgumentError
from loopwright.targets.target import TF32


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


def test_a_precision_is_part_of_what_a_target_is_told_by() -> None:
    usual, narrow = targets.named("cuda-sm_90"), targets.named("cuda-sm_90", precision=TF32)
    assert usual.identity == usual.tvm_target == narrow.tvm_target
    assert narrow.identity == {**usual.identity, "precision": TF32}
    assert (usual.label, narrow.label) == ("cuda-sm_90", "cuda-sm_90 tf32")


@pytest.mark.parametrize(
    ("name", "precision", "message"),
    [
        ("cuda-sm_75", TF32, "sm_80 or later, which target cuda-sm_75 has not; take precision float32"),
        ("cpu", TF32, "which target cpu has not"),
        ("cuda-sm_80", "half", "unknown precision 'half'; known: bf16, float32, tf32"),
    ],
)
def test_impossible_precisions_are_refused(name: str, precision: str, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        targets.named(name, precision=precision)
