"""Loopwright itself: the network compiled without any neural step beyond those that its folder may have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import loopwright
from loopwright.baselines.participant import OURS, Participant, Ready
from loopwright.baselines.task import Task, is_folder

if TYPE_CHECKING:
    from torch import nn

    from loopwright.lowering.schedules.schedule import CpuSchedule
    from loopwright.models.network import Network


class Loopwright(Participant):
    """`compile_network` with tuned schedules, taken out of the store where it has them."""

    name = OURS
    packages = ("apache-tvm",)

    def version(self, task: Task) -> str:  # noqa: ARG002
        return loopwright.__version__

    def source(self, task: Task) -> tuple[Network, nn.Module]:
        return task.traced()

    def prepare(self, source: tuple[Network, nn.Module], task: Task) -> Ready:
        """Tunes and compiles."""
        from loopwright.lowering.network import compile_network

        network, module = source
        compiled = compile_network(network, module, task.hardware, _schedules(network, task))
        return Ready(compiled.runner(task.images()))


def _schedules(network: Network, task: Task) -> Mapping[str, CpuSchedule]:
    """The tuned schedules by layer; layers that the folder has changed take the kernel's own choice."""
    from loopwright.search.deliver import read_spec
    from loopwright.store import Store, default_path

    try:
        from loopwright.search.tuning import tuned_schedules  # type: ignore[import-not-found]
    except ImportError:
        return {}
    changed = read_spec(task.model).layers if is_folder(task.model) else {}
    with Store.open(task.store or default_path()) as store:
        schedules = tuned_schedules(network, task.hardware, store)
    return {layer: schedule for layer, schedule in schedules.items() if layer not in changed}
