"""PyTorch as it is: eager execution in inference mode. Its outputs are what the others are held against."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loopwright.baselines.participant import REFERENCE, Participant, Ready
from loopwright.baselines.task import Task

if TYPE_CHECKING:
    from torch import nn


class Eager(Participant):
    """`torch.inference_mode` and as many threads as the task has."""

    name = REFERENCE
    packages = ("torch",)

    def prepare(self, source: nn.Module, task: Task) -> Ready:
        """Nothing has to be built."""
        import torch

        torch.set_num_threads(task.threads)
        images = torch.from_numpy(task.images())

        @torch.inference_mode()
        def run() -> object:
            return source(images)

        return Ready(run)
