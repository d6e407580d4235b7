"""NVIDIA GPUs by architecture, as plain data: no device is needed to judge or to generate code for one.

Limits of a thread block are those of the CUDA C++ Programming Guide, "Compute Capabilities"; shared memory is the most
that a block may ask for. Caches and multiprocessors are those of the GPU named
beside each.
"""

from __future__ import annotations

from loopwright.errors import ArgumentError
from loopwright.targets.target import GpuLimits, Target

KIB = 1024
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


def cuda(architecture: str = "sm_90") -> Target:
    """A GPU of that architecture; raises `ArgumentError` with the known ones."""
    if architecture not in ARCHITECTURES:
        raise ArgumentError(f"unknown architecture {architecture!r}; known: {', '.join(ARCHITECTURES)}")
    shared, first, second, multiprocessors = ARCHITECTURES[architecture]
    return Target(
        name="cuda",
        kind="cuda",
        processor=architecture,
        features=(),
        vector_lanes=FLOATS_OF_A_LOAD,
        vector_registers=REGISTERS // FLOATS_OF_A_LOAD,
        threads=THREADS[0],
        l1_bytes=first * KIB,
        l2_bytes=second * KIB,
        gpu=GpuLimits(BLOCKS, THREADS, 1024, shared * KIB, multiprocessors),
    )


TARGETS = {"cuda": cuda}
