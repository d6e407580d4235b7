"""Schedules for the operators of a network that is to be deployed, refined by timing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import nn

from loopwright.ir.contraction import OperatorForm
from loopwright.ir.loopnest import FLOAT_BYTES
from loopwright.lowering.network import lower_network
from loopwright.lowering.network_kernels import ScheduleChoice
from loopwright.lowering.schedules.backend import Schedule
from loopwright.lowering.schedules.cuda.schedule import CudaSchedule
from loopwright.measurement.timer import Protocol
from loopwright.models.network import Network
from loopwright.search.timing import OperatorLatencies
from loopwright.store import Store, default_path
from loopwright.targets.processors import runs_here
from loopwright.targets.target import Target

TRIED = 8
"""Schedules that are timed for an operator."""

STEP_BYTES = 16 * 1024**2


@dataclass(frozen=True)
class Tuning:
    """Whether schedules are refined by timing, and the store that keeps the timings, a file or a PostgreSQL address
    (without one, a file in the user's cache folder). ``advance`` is called after each operator that was timed."""

    enabled: bool = True
    store: Path | str | None = field(default=None, repr=False)  # an address may hold a password
    advance: Callable[[], None] | None = field(default=None, compare=False)


def protocol_for(network: Network) -> Protocol:
    """How operators of the network are timed: with copies of their weights that span as much memory as the weights of
    the whole network, in steps of 16 MiB, so that they come from where they will come from in the network."""
    weights = FLOAT_BYTES * sum(layer.parameters for layer in network.layers)
    usual = Protocol()
    return replace(usual, cold_bytes=max(usual.cold_bytes, -(-weights // STEP_BYTES) * STEP_BYTES))


@contextmanager
def tuned(network: Network, module: nn.Module, target: Target, tuning: Tuning) -> Iterator[ScheduleChoice | None]:
    """Gives the schedules of the operators of ``module``, the network's own or a transformed copy, timed when they are
    first asked for; None without tuning, or for a machine that is not here."""
    if not tuning.enabled or not runs_here(target):
        yield None
        return
    with Store.open(tuning.store or default_path()) as store:
        images = (network.input_shape or (1,))[0]
        with OperatorLatencies(images, target, store, protocol_for(network), TRIED, tuning.advance) as latencies:
            if target.gpu is not None:
                latencies.build(latencies.to_build(_asked_for(network, module, target)))
            yield latencies.schedule


def _asked_for(network: Network, module: nn.Module, target: Target) -> list[OperatorForm]:
    """The operators of which lowering asks for the schedules, for a GPU."""
    asked: list[OperatorForm] = []

    def choose(form: OperatorForm, _images: int) -> Schedule:
        asked.append(form)
        return CudaSchedule(1, 1, 1)

    lower_network(network, module, target, choose)
    return asked
