"""PyTorch as it is: eager execution in inference mode. Its outputs are what the others are held against."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loopwright.baselines.graphed import graphed
from loopwright.baselines.participant import REFERENCE, Participant, Ready
from loopwright.baselines.task import Task

if TYPE_CHECKING:
    from torch import nn


class Eager(Participant):
    """`torch.inference_mode` and as many threads as the task has; on a GPU replayed as a CUDA graph, in float32."""

    name = REFERENCE
    packages = ("torch",)
    on_gpus = True

    def prepare(self, source: nn.Module, task: Task) -> Ready:
        """Nothing has to be built."""
        import torch

        if task.hardware.gpu is not None:
            return graphed(source, task)
        torch.set_num_threads(task.threads)
        images = torch.from_numpy(task.images())

        @torch.inference_mode()
        def run() -> object:
            return source(images)

        return Ready(run)
