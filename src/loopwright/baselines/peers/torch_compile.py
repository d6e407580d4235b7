"""PyTorch's compiler at its best: max-autotune, with the weights frozen into the code."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from loopwright.baselines.participant import Participant, Ready
from loopwright.baselines.task import Task
from loopwright.measurement.timer import wall_clock

if TYPE_CHECKING:
    from torch import nn


class TorchCompile(Participant):
    """`torch.compile(mode="max-autotune")` with freezing; its cache begins empty, so that set-up is the whole of it. On
    a GPU it replays CUDA graphs of its own."""

    name = "compile"
    packages = ("torch",)
    on_gpus = True

    def prepare(self, source: nn.Module, task: Task) -> Ready:
        """Compiles when the network is first run."""
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(task.folder / "inductor")
        import torch
        import torch._inductor.config as inductor

        torch.set_num_threads(task.threads)
        inductor.freezing = True
        compiled = torch.compile(source, mode="max-autotune")
        images, clock = torch.from_numpy(task.images()), wall_clock
        if task.hardware.gpu is not None:
            from loopwright.measurement.device import event_clock

            images, clock = images.cuda(), event_clock
            source.cuda()

        @torch.no_grad()  # freezing asks for it; inference mode would compile again
        def run() -> object:
            return compiled(images)

        return Ready(run, clock=clock)
