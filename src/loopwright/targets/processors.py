"""Processors of other machines by instruction set, as plain data: code is generated for them here, and runs there.

Caches are those of one core of a common processor of the kind (a cluster of four Cortex-A72 shares 1 MiB of level 2);
kernels run on any that has the instructions.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from functools import partial

from loopwright.errors import ArgumentError
from loopwright.targets.cpu import CPU_INFO, VECTOR_UNITS, processor_flags
from loopwright.targets.nvidia import gpu_here, require_tools
from loopwright.targets.target import Target

KIB = 1024
THREADS = 2


@dataclass(frozen=True)
class Processor:
    """An instruction set of `VECTOR_UNITS` on a ``machine``; ``model`` is LLVM's name of the processor."""

    unit: str
    machine: str
    model: str
    l1_bytes: int
    l2_bytes: int

    @property
    def triple(self) -> str:
        return f"{self.machine}-linux-gnu"


PROCESSORS = {
    "cpu-avx512": Processor("avx512", "x86_64", "x86-64-v4", 32 * KIB, 1024 * KIB),  # Zen 4
    "cpu-avx2": Processor("avx2", "x86_64", "x86-64-v3", 32 * KIB, 512 * KIB),  # Zen 2 and 3
    "cpu-neon": Processor("neon", "aarch64", "cortex-a72", 32 * KIB, 256 * KIB),  # Raspberry Pi 4
}

_UNITS = {unit.name: unit for unit in VECTOR_UNITS}


def processor(name: str) -> Target:
    """The target of that name in `PROCESSORS`, with 2 threads."""
    own = PROCESSORS[name]
    unit = _UNITS[own.unit]
    return Target(
        name=name,
        kind="llvm",
        processor=own.model,
        features=unit.features,
        vector_lanes=unit.lanes,
        vector_registers=unit.registers,
        threads=THREADS,
        l1_bytes=own.l1_bytes,
        l2_bytes=own.l2_bytes,
        triple=own.triple,
    )


def require_runnable(target: Target) -> None:
    """Raises `ArgumentError` unless code for ``target`` runs on this machine."""
    if not runs_here(target):
        raise ArgumentError(f"code for {target.name} {_why_not(target)}; take target=cpu")
    if target.gpu is not None:
        require_tools()


def _why_not(target: Target) -> str:
    if target.gpu is None:
        return "does not run on this processor"
    here = gpu_here()
    found = "there is none" if here is None else f"this one is of {here.architecture}"
    return f"needs an NVIDIA GPU of {target.processor}, and {found}"


def runs_here(target: Target) -> bool:
    """Whether this machine has a processor with the target's instructions, or a GPU of its architecture."""
    if target.gpu is not None:
        here = gpu_here()
        return here is not None and here.architecture == target.processor
    own = PROCESSORS.get(target.name)
    if own is None:
        return True
    flags = processor_flags(CPU_INFO.read_text()) if CPU_INFO.exists() else frozenset()
    return links_here(target) and _UNITS[own.unit].flags <= flags


def links_here(target: Target) -> bool:
    """Whether this machine's compiler links what is built for the target."""
    return target.triple.partition("-")[0] in ("", platform.machine())


TARGETS = {name: partial(processor, name) for name in PROCESSORS}
