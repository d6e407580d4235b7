"""Compiling the networks of a search, so that a fault of the compiler is an error of one line."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

from torch import nn

from loopwright.errors import CompileError
from loopwright.isolation import Bounds, FaultError, forked
from loopwright.lowering.network import CompiledNetwork, LinkedNetwork, LoweredNetwork, lower_network
from loopwright.lowering.network_kernels import ScheduleChoice
from loopwright.models.network import Network
from loopwright.search.workers.local import can_fork
from loopwright.targets.target import Target

BOUNDS = Bounds(seconds=1800)
"""For compiling one network."""


def compile_apart(
    network: Network, module: nn.Module, target: Target, choose: ScheduleChoice, bounds: Bounds = BOUNDS
) -> CompiledNetwork:
    """`loopwright.lowering.network.compile_network`, with TVM's compiler and the linker in a forked process. Raises
    `CompileError` also where that crashes, hangs or takes all memory. Where forking is no way, this process compiles.
    """
    lowered = lower_network(network, module, target, choose)
    if not can_fork():
        return CompiledNetwork(lowered.build(), target.threads)
    with tempfile.TemporaryDirectory(prefix="loopwright-") as folder:
        library = Path(folder) / "network.so"
        try:
            weight_bytes = forked(partial(_link, lowered, library), bounds)
        except FaultError as error:
            raise CompileError(f"compiling {network.name} met a {error.stage}: {error}") from error
        linked = LinkedNetwork(library, lowered.signature, lowered.kernels, lowered.notes, weight_bytes)
        return CompiledNetwork(linked, target.threads)


def _link(lowered: LoweredNetwork, library: Path) -> int:
    """Writes the shared library; the bytes of the weights in it."""
    built = lowered.build()
    built.export_library(library)
    return built.weight_bytes
