"""Schedules for the operators of a network that is to be deployed, refined by timing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from loopwright.ir.loopnest import FLOAT_BYTES
from loopwright.lowering.network_kernels import ScheduleChoice
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
def tuned(network: Network, target: Target, tuning: Tuning) -> Iterator[ScheduleChoice | None]:
    """Gives schedules by operator, timed when they are first asked for; None without tuning, or for a machine that
    is not here."""
    if not tuning.enabled or not runs_here(target):
        yield None
        return
    with Store.open(tuning.store or default_path()) as store:
        images = (network.input_shape or (1,))[0]
        with OperatorLatencies(images, target, store, protocol_for(network), TRIED, tuning.advance) as latencies:
            yield latencies.schedule
