"""NVIDIA GPUs: that of this machine, and by architecture as plain data, so that no device is needed to judge or to
generate code for one.

Limits of a thread block are those of the CUDA C++ Programming Guide, "Compute Capabilities"; shared memory is the most
that a block may ask for. Caches and multiprocessors are those of the GPU named beside each.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from loopwright.errors import ArgumentError
from loopwright.targets.cpu import usable_processors
from loopwright.targets.nvidia import gpu_here
from loopwright.targets.target import GpuLimits, Target

KIB = 1024
USUAL = "sm_90"
BLOCKS = (2**31 - 1, 65535, 65535)
THREADS = (1024, 1024, 64)
FLOATS_OF_A_LOAD, REGISTERS = 4, 255

# architecture: shared memory of a block, level 1 of a multiprocessor, level 2 (KiB); multiprocessors
ARCHITECTURES = {
    "sm_90": (227, 256, 50 * KIB, 132),  # H100
    "sm_80": (163, 192, 40 * KIB, 108),  # A100
    "sm_75": (64, 96, 4 * KIB, 40),  # T4
    "sm_61": (48, 48, 2816, 28),  # GTX 1080 Ti
    "sm_53": (48, 48, 256, 1),  # Jetson Nano
}


def cuda(architecture: str | None = None) -> Target:
    """A GPU of that architecture; without one, that of this machine, or where there is none an H100. Raises
    `ArgumentError` with the known ones."""
    here = gpu_here()
    if here is not None and architecture in (None, here.architecture):
        return _target(here.architecture, here.shared_bytes, here.level1_bytes, here.level2_bytes, here.multiprocessors)
    architecture = architecture or USUAL
    if architecture not in ARCHITECTURES:
        raise ArgumentError(f"unknown architecture {architecture!r}; known: {', '.join(ARCHITECTURES)}")
    shared, first, second, multiprocessors = ARCHITECTURES[architecture]
    return _target(architecture, shared * KIB, first * KIB, second * KIB, multiprocessors)


def _target(architecture: str, shared_bytes: int, level1_bytes: int, level2_bytes: int, multiprocessors: int) -> Target:
    return Target(
        name="cuda",
        kind="cuda",
        processor=architecture,
        features=(),
        vector_lanes=FLOATS_OF_A_LOAD,
        vector_registers=REGISTERS // FLOATS_OF_A_LOAD,
        threads=usable_processors(),
        l1_bytes=level1_bytes,
        l2_bytes=level2_bytes,
        gpu=GpuLimits(BLOCKS, THREADS, 1024, shared_bytes, multiprocessors),
    )


def _named(name: str, architecture: str) -> Target:
    return replace(cuda(architecture), name=name)


TARGETS = {
    "cuda": cuda,
    **{f"cuda-{name}": partial(_named, f"cuda-{name}", name) for name in ARCHITECTURES},
}
