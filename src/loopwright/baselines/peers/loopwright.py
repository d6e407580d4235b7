"""Loopwright itself: the network compiled without any neural step beyond those that its folder may have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import loopwright
from loopwright.baselines.participant import OURS, Participant, Ready
from loopwright.baselines.task import Task

if TYPE_CHECKING:
    from torch import nn

    from loopwright.models.network import Network


class Loopwright(Participant):
    """`compile_network` with tuned schedules, taken out of the store where it has them."""

    name = OURS
    packages = ("apache-tvm",)
    on_gpus = True
    stock = False

    def version(self, task: Task) -> str:  # noqa: ARG002
        return loopwright.__version__

    def source(self, task: Task) -> tuple[Network, nn.Module]:
        return task.traced()

    def prepare(self, source: tuple[Network, nn.Module], task: Task) -> Ready:
        """Tunes and compiles."""
        from loopwright.lowering.network import compile_network
        from loopwright.measurement.device import device_of
        from loopwright.search.tuning import Tuning, tuned

        network, module = source
        with tuned(network, module, task.hardware, Tuning(store=task.store)) as choose:
            compiled = compile_network(network, module, task.hardware, choose)
        clock = device_of(task.hardware).network_clock
        return Ready(compiled.runner(task.images()), task.precision, clock)
