"""A whole network -> one compiled artefact: our kernels in blocked layout, batch norm folded, weights packed ahead."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tvm
from torch import nn
from tvm import relax
from tvm.relax.backend.cpu_generic.pipeline import dataflow_lower_passes, finalize_passes

from loopwright.lowering.fallback import schedule_fallbacks
from loopwright.lowering.network_kernels import NetworkKernels
from loopwright.lowering.relax_import import import_network
from loopwright.lowering.rewriting import Rewriting
from loopwright.lowering.schedules.schedule import CpuSchedule
from loopwright.lowering.threads import set_threads
from loopwright.models.network import Network, Shape
from loopwright.targets.target import Target

Outputs = np.ndarray | tuple[np.ndarray, ...]


class CompiledNetwork:
    """A network that runs in TVM; ``notes`` say which operations were left to TVM's own lowering."""

    def __init__(self, executable: tvm.runtime.Executable, input_shape: Shape, threads: int, notes: tuple[str, ...]):
        self.notes = notes
        self.input_shape = input_shape
        self._executable = executable
        self._threads = threads
        self._machine = relax.VirtualMachine(executable, tvm.cpu())
        set_threads(threads)

    def __call__(self, images: np.ndarray) -> Outputs:
        """``images`` (N, C, H, W), float32, of `input_shape` -> what the module returns, as arrays."""
        result = self.runner(images)()
        if isinstance(result, tvm.runtime.Tensor):
            return result.numpy()
        return tuple(tensor.numpy() for tensor in result)

    def runner(self, images: np.ndarray) -> Callable[[], Any]:
        """A function without arguments that runs the network on ``images`` once, copying nothing: for timing."""
        return partial(self._machine["main"], tvm.runtime.tensor(np.ascontiguousarray(images, "float32")))

    def export_library(self, path: Path) -> None:
        """Writes code and weights as one shared library, which TVM's runtime loads."""
        self._executable.export_library(str(path))


def compile_network(
    network: Network, module: nn.Module, target: Target, schedules: Mapping[str, CpuSchedule] | None = None
) -> CompiledNetwork:
    """Compiles ``module``, the network's own or a transformed copy in any state of training, for evaluation.

    ``schedules`` are by layer; the others take the kernel's own choice. Raises ArgumentError if one names no layer that
    can be transformed.
    """
    kernels = NetworkKernels(network, module, target, schedules or {})
    rewriting = Rewriting(import_network(network, module), kernels)
    executable = _build(rewriting.module, target)
    return CompiledNetwork(executable, network.input_shape, target.threads, tuple(rewriting.notes))


def _build(module: tvm.IRModule, target: Target) -> tvm.runtime.Executable:
    tvm_target = tvm.target.Target(target.tvm_target)
    lower = [
        relax.transform.LegalizeOps(),
        relax.transform.AnnotateTIROpPattern(),
        relax.transform.FuseOps(),
        relax.transform.FuseTIR(),
        tvm.transform.module_pass(lambda module, _: schedule_fallbacks(module, target), opt_level=0),
        *dataflow_lower_passes(tvm_target),
        *finalize_passes(tvm_target),
    ]
    return tvm.compile(module, tvm_target, relax_pipeline=tvm.transform.Sequential(lower))
