"""The kernels that the machine's peak is taken with: what they compute, and what code they become."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import tvm

from loopwright import targets
from loopwright.measurement.build import assembly, compile_function
from loopwright.measurement.peak import (
    ACCUMULATORS,
    cache_levels,
    copy_function,
    copy_probe,
    level_of,
    peak_function,
    peak_probe,
)
from loopwright.measurement.timer import Measurement, Protocol
from loopwright.targets.cpu import cpu

TARGET = replace(cpu(threads=1), l1_bytes=32 * 1024, l2_bytes=1024 * 1024)
FUSED = {"cpu-avx512": r"vfmadd\w+ps\s.*zmm", "cpu-avx2": r"vfmadd\w+ps\s.*ymm", "cpu-neon": r"fmla\s+v\d+\.4s"}


@pytest.mark.parametrize("name", FUSED)
def test_the_peak_is_fused_multiply_adds_of_registers(name: str) -> None:
    target = targets.named(name)
    code = assembly(peak_function(target, 12), target)
    fused = re.findall(FUSED[name], code)
    assert len(fused) >= 12
    assert not [line for line in fused if "(" in line], "an operand in memory"


def test_multiply_adds_reach_their_fixed_point() -> None:
    """0.5 x + 0.5 from 0 on, often."""
    target, results = TARGET, tvm.runtime.tensor(np.zeros((1, 6, TARGET.vector_lanes), np.float32))
    operands = tvm.runtime.tensor(np.full((2, target.vector_lanes), 0.5, np.float32))
    compile_function(peak_function(target, 6), target)(operands, results)
    assert np.array_equal(results.numpy(), np.ones_like(results.numpy()))


def test_the_work_of_the_peak_counts_both_operations_of_all_lanes() -> None:
    one, two = peak_probe(TARGET), peak_probe(replace(TARGET, threads=2))
    assert one.work % (2 * TARGET.vector_lanes * min(ACCUMULATORS, TARGET.vector_registers - 4)) == 0
    assert two.work == 2 * one.work


@pytest.mark.parametrize("threads", [1, 2])
def test_a_copy_is_one(threads: int) -> None:
    target = replace(TARGET, threads=threads)
    shape = (threads, 8, target.vector_lanes)
    values = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    copied = tvm.runtime.tensor(np.zeros(shape, np.float32))
    compile_function(copy_function(target, 8, 3), target)(tvm.runtime.tensor(values), copied)
    assert np.array_equal(copied.numpy(), values)


def test_copies_are_loads_and_stores_of_whole_vectors() -> None:
    target = targets.named("cpu-avx512")
    code = assembly(copy_function(target, 1024, 2), target)
    assert re.search(r"vmov[au]ps\s.*%zmm\d+, .*\(", code)
    assert not re.search("mem(cpy|move)", code)


def test_a_copy_counts_what_is_read_and_what_is_written() -> None:
    size = 64 * 1024
    assert copy_probe(TARGET, size, times=1).work == size
    assert copy_probe(TARGET, size, times=3).work == 3 * size


def test_a_copy_smaller_than_its_vectors_takes_the_fewest() -> None:
    assert copy_probe(TARGET, 1, times=1).work == 2 * 4 * 4 * TARGET.vector_lanes


def test_rates_are_work_over_the_median() -> None:
    probe = copy_probe(TARGET, 64 * 1024, times=1)
    assert probe.rate(Measurement((1.0, 2.0, 50.0), Protocol())) == 64 * 1024 / 2.0 / 1e6


def test_levels_hold_what_all_threads_have() -> None:
    two = replace(TARGET, threads=2)
    assert [level.capacity for level in cache_levels(two)] == [64 * 1024, 2 * 1024**2, None]
    assert [level_of(size, TARGET).name for size in (1, 32 * 1024, 33 * 1024, 2 * 1024**2)] == [
        "L1",
        "L1",
        "L2",
        "beyond L2",
    ]
    assert level_of(33 * 1024, two).name == "L1"


def test_copies_are_timed_inside_their_level() -> None:
    first, second, rest = cache_levels(TARGET)
    assert level_of(first.working_set, TARGET) == first
    assert level_of(second.working_set, TARGET) == second
    assert level_of(rest.working_set, TARGET) == rest
