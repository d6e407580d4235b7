"""The host as a target."""

from __future__ import annotations

import subprocess
import sys

import pytest

from loopwright.targets.cpu import cpu, processor_flags, vector_unit

AVX2 = frozenset({"sse2", "avx", "avx2", "fma"})
AVX512 = AVX2 | {"avx512f", "avx512dq", "avx512cd", "avx512bw", "avx512vl"}


@pytest.mark.parametrize(
    ("flags", "machine", "name", "lanes"),
    [
        (AVX512, "x86_64", "avx512", 16),
        (AVX2, "x86_64", "avx2", 8),
        (AVX512 - {"avx512vl"}, "x86_64", "avx2", 8),
        (frozenset(), "aarch64", "neon", 4),
        (frozenset({"sse2"}), "x86_64", "generic", 4),
    ],
)
def test_vector_unit_follows_the_flags(flags: frozenset[str], machine: str, name: str, lanes: int) -> None:
    unit = vector_unit(flags, machine)
    assert (unit.name, unit.lanes) == (name, lanes)


def test_flags_are_those_of_the_first_processor() -> None:
    text = "processor\t: 0\nflags\t\t: fpu avx2 fma\nprocessor\t: 1\nflags\t\t: fpu\n"
    assert processor_flags(text) == {"fpu", "avx2", "fma"}
    assert processor_flags("Features\t: fp asimd\n") == {"fp", "asimd"}
    assert processor_flags("") == frozenset()


def test_host_is_complete() -> None:
    target = cpu()
    assert target.threads >= 1
    assert target.l1_bytes < target.l2_bytes
    assert target.tvm_target["num-cores"] == target.threads
    assert cpu(threads=1).threads == 1


def test_targets_do_not_load_tvm() -> None:
    code = "import sys, loopwright.targets.cpu; assert not {'tvm', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
