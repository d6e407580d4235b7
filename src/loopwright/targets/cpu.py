"""The processor this runs on: vector width, registers, threads and caches as the operating system reports them."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from loopwright.targets.target import Target

CPU_INFO = Path("/proc/cpuinfo")
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


@dataclass(frozen=True)
class VectorUnit:
    """An instruction set's vectors; ``flags`` are the features that must all be present to use it."""

    name: str
    flags: frozenset[str]
    processor: str
    features: tuple[str, ...]
    lanes: int
    registers: int


# `processor` is LLVM's generic level of that instruction set. LLVM prefers 256-bit vectors on most AVX-512 processors;
# our kernels are written in explicit vectors, and the feature keeps LLVM from splitting them.
VECTOR_UNITS = (
    VectorUnit(
        "avx512",
        frozenset({"avx512f", "avx512dq", "avx512cd", "avx512bw", "avx512vl"}),
        "x86-64-v4",
        ("-prefer-256-bit",),
        16,
        32,
    ),
    VectorUnit("avx2", frozenset({"avx2", "fma"}), "x86-64-v3", (), 8, 16),
    VectorUnit("neon", frozenset({"asimd"}), "", ("+neon",), 4, 32),
    VectorUnit("generic", frozenset(), "", (), 4, 16),
)


def cpu(threads: int | None = None) -> Target:
    """The host as a target, with all processors this process may use unless ``threads`` says fewer."""
    unit = vector_unit(processor_flags(_read(CPU_INFO)), platform.machine())
    return Target(
        name="cpu",
        kind="llvm",
        processor=unit.processor,
        features=unit.features,
        vector_lanes=unit.lanes,
        vector_registers=unit.registers,
        threads=threads or usable_processors(),
        l1_bytes=cache_bytes(1, default=32 * 1024),
        l2_bytes=cache_bytes(2, default=512 * 1024),
    )


def vector_unit(flags: frozenset[str], machine: str) -> VectorUnit:
    """The widest vectors that ``flags`` (as in ``/proc/cpuinfo``) allow; 64-bit ARM always has NEON."""
    known = flags | {"asimd"} if machine in ("aarch64", "arm64") else flags
    return next(unit for unit in VECTOR_UNITS if unit.flags <= known)


def processor_flags(cpu_info: str) -> frozenset[str]:
    """The feature flags of the first processor in the text of ``/proc/cpuinfo``."""
    for line in cpu_info.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()


def usable_processors() -> int:
    """How many processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cache_bytes(level: int, default: int) -> int:
    """Size of the data cache of that level of one core, or ``default`` where the system does not tell."""
    for index in sorted(CACHES.glob("index*")):
        if _read(index / "level").strip() == str(level) and _read(index / "type").strip() != "Instruction":
            size = _read(index / "size").strip()
            return int(size[:-1]) * {"K": 1024, "M": 1024**2}[size[-1]]
    return default


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


TARGETS = {"cpu": cpu}
