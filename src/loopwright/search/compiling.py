"""Compiling the networks of a search, so that a fault of the compiler is an error of one line."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from torch import nn

from loopwright.errors import CompileError
from loopwright.isolation import Bounds, FaultError, forked
from loopwright.lowering.network import CompiledNetwork, LinkedNetwork, LoweredNetwork, lower_network
from loopwright.lowering.network_kernels import ScheduleChoice
from loopwright.models.network import Network
from loopwright.search.workers.local import can_fork
from loopwright.targets.cpu import usable_processors
from loopwright.targets.target import Target

BOUNDS = Bounds(seconds=1800)
"""For compiling one network."""


def compile_apart(
    network: Network, modules: Iterable[nn.Module], target: Target, choose: ScheduleChoice, bounds: Bounds = BOUNDS
) -> list[CompiledNetwork]:
    """What `loopwright.lowering.network.compile_network` makes of each of ``modules``, with TVM's compiler and the
    linker in forked processes, as many at once as there are processors. Raises `CompileError` also where that crashes,
    hangs or takes all memory. Where forking is no way, as with a GPU in use, threads of this process compile.
    """
    lowering = (lower_network(network, module, target, choose) for module in modules)
    if target.gpu is not None or not can_fork():
        with ThreadPoolExecutor(usable_processors()) as threads:
            built = threads.map(partial(LoweredNetwork.build, threads=1), lowering)
            return [CompiledNetwork(own, target) for own in built]
    with tempfile.TemporaryDirectory(prefix="loopwright-") as folder:
        begun: list[tuple[LoweredNetwork, Path]] = []

        def links() -> Iterator[Callable[[], int]]:
            for number, lowered in enumerate(lowering):
                begun.append((lowered, Path(folder) / f"{number}.so"))
                yield partial(_link, *begun[-1])

        try:
            weights = list(forked(links(), bounds, at_once=usable_processors()))
        except FaultError as error:
            raise CompileError(f"compiling {network.name} met a {error.stage}: {error}") from error
        return [
            CompiledNetwork(
                LinkedNetwork(library, lowered.signature, lowered.kernels, lowered.notes, weight_bytes), target
            )
            for (lowered, library), weight_bytes in zip(begun, weights, strict=True)
        ]


def _link(lowered: LoweredNetwork, library: Path) -> int:
    """Writes the shared library; the bytes of the weights in it."""
    built = lowered.build(threads=1)  # other processes compile beside this one
    built.export_library(library)
    return built.weight_bytes
