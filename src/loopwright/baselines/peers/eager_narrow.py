"""PyTorch's eager execution on a GPU's matrix units, in the narrower formats that they multiply."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loopwright.baselines.graphed import graphed
from loopwright.baselines.participant import Participant, Ready
from loopwright.baselines.task import Task

if TYPE_CHECKING:
    from torch import nn


class EagerTf32(Participant):
    """As `Eager`, its products in tf32, of which 10 bits of the fraction count."""

    name = "eager-tf32"
    packages = ("torch",)
    on_processors, on_gpus = False, True

    def prepare(self, source: nn.Module, task: Task) -> Ready:
        """Nothing has to be built."""
        return graphed(source, task, tf32=True)


class EagerBfloat16(Participant):
    """As `Eager`, all in bfloat16, the channels last in memory."""

    name = "eager-bf16"
    packages = ("torch",)
    on_processors, on_gpus = False, True

    def prepare(self, source: nn.Module, task: Task) -> Ready:
        """Nothing has to be built."""
        return graphed(source, task, tf32=True, bfloat16=True)
