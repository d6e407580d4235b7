"""Where a kernel is measured: its tensors, its run, and the clock that times it.

A GPU is driven through PyTorch's streams, graphs and events, on which TVM launches its kernels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import tvm
import tvm_ffi

from loopwright.measurement.timer import Call, Clock, wall_clock
from loopwright.targets.target import Target

WARM_UP = 2


class Device(ABC):
    """A processor or a GPU; ``kernel_clock`` times single kernels, ``network_clock`` whole networks."""

    kernel_clock: Clock
    network_clock: Clock

    @abstractmethod
    def tensor(self, values: np.ndarray) -> Any:
        """The values in the device's memory, as compiled functions take them."""

    @abstractmethod
    def array(self, tensor: Any) -> np.ndarray:
        """What lies in the device's memory."""

    @abstractmethod
    def run(self, call: Call) -> None:
        """Calls, and returns when that is done."""


class Processor(Device):
    """The processor this runs on."""

    kernel_clock = network_clock = staticmethod(wall_clock)

    def tensor(self, values: np.ndarray) -> Any:
        return tvm.runtime.tensor(np.ascontiguousarray(values))

    def array(self, tensor: Any) -> np.ndarray:
        found: np.ndarray = tensor.numpy()
        return found

    def run(self, call: Call) -> None:
        call()


def replay_clock(call: Call, number: int) -> Callable[[], float]:
    """Time of a device for a CUDA graph of the calls, without that of launching them one by one."""
    side, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
    with tvm_ffi.use_torch_stream(torch.cuda.stream(side)):
        for _ in range(WARM_UP):
            call()
    torch.cuda.synchronize()
    with tvm_ffi.use_torch_stream(torch.cuda.graph(graph)):
        for _ in range(number):
            call()
    return lambda: _between_events(graph.replay) / number


def event_clock(call: Call, number: int) -> Callable[[], float]:
    """Time of a device for calls one after the other."""

    def calls() -> None:
        for _ in range(number):
            call()

    return lambda: _between_events(calls) / number


def _between_events(call: Call) -> float:
    """Milliseconds of the device."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    call()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end))


class Gpu(Device):
    """The first NVIDIA GPU of this machine."""

    kernel_clock = staticmethod(replay_clock)
    network_clock = staticmethod(event_clock)

    def tensor(self, values: np.ndarray) -> Any:
        return torch.from_numpy(np.ascontiguousarray(values)).cuda()

    def array(self, tensor: Any) -> np.ndarray:
        found: np.ndarray = tensor.cpu().numpy()
        return found

    def run(self, call: Call) -> None:
        with tvm_ffi.use_torch_stream():
            call()
        torch.cuda.synchronize()


def device_of(target: Target) -> Device:
    """Where code for a target runs."""
    return Processor() if target.gpu is None else Gpu()
