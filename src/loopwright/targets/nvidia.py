"""The NVIDIA GPU of this machine as its driver describes it, and what has to be there to use it."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from loopwright.errors import ArgumentError

LIBRARY, COMPILER = "libcuda.so.1", "nvcc"
NAME_BYTES = 100

ATTRIBUTES: Mapping[str, int] = {
    "multiprocessors": 16,
    "level2_bytes": 38,
    "major": 75,
    "minor": 76,
    "level1_bytes": 81,  # shared memory of a multiprocessor, which is cut from its level 1
    "shared_bytes": 97,
}
"""What is asked for, by its number in the CUDA driver API (CUdevice_attribute); shared memory with a block's consent to
have more than usual."""


@dataclass(frozen=True)
class NvidiaGpu:
    """The first GPU: its name, its architecture, such as ``sm_90``, and the sizes of it that schedules depend on."""

    name: str
    architecture: str
    multiprocessors: int
    shared_bytes: int
    level1_bytes: int
    level2_bytes: int


@cache
def gpu_here() -> NvidiaGpu | None:
    """None where there is no GPU, or no driver."""
    try:
        driver = ctypes.CDLL(LIBRARY)
        return _described(driver)
    except (OSError, AttributeError, RuntimeError):
        return None


def _described(driver: ctypes.CDLL) -> NvidiaGpu:
    """Raises `RuntimeError` where the driver finds none."""
    device, name, value = ctypes.c_int(), ctypes.create_string_buffer(NAME_BYTES), ctypes.c_int()
    _require(driver.cuInit(0))
    _require(driver.cuDeviceGet(ctypes.byref(device), 0))
    _require(driver.cuDeviceGetName(name, NAME_BYTES, device))
    found: dict[str, int] = {}
    for own, number in ATTRIBUTES.items():
        _require(driver.cuDeviceGetAttribute(ctypes.byref(value), number, device))
        found[own] = value.value
    architecture = f"sm_{found.pop('major')}{found.pop('minor')}"
    return NvidiaGpu(name.value.decode(), architecture, **found)


def _require(result: int) -> None:
    if result != 0:
        raise RuntimeError(f"the CUDA driver answers {result}")


def require_compiler() -> None:
    """Raises `ArgumentError` where what compiles code for a GPU is missing."""
    toolkits = [os.environ.get(name, "") for name in ("CUDA_PATH", "CUDA_HOME")] + ["/usr/local/cuda"]
    paths = [os.environ.get("PATH", os.defpath), *(f"{toolkit}/bin" for toolkit in toolkits if toolkit)]
    if shutil.which(COMPILER, path=os.pathsep.join(paths)) is None:
        raise ArgumentError(f"there is no {COMPILER} to compile code for the GPU; install NVIDIA's CUDA toolkit")


def require_tools() -> None:
    """Raises `ArgumentError` where what compiles code for a GPU is missing, or a PyTorch that runs on it."""
    require_compiler()
    import torch

    if not torch.cuda.is_available():
        raise ArgumentError(f"PyTorch {torch.__version__} does not run on the GPU; install one that is built for CUDA")
