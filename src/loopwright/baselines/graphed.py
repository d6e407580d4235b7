"""A PyTorch network replayed as a CUDA graph, so that the processor's part of eager execution takes no time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loopwright.baselines.participant import Ready
from loopwright.baselines.task import Task
from loopwright.targets.target import FLOAT32

if TYPE_CHECKING:
    from torch import nn

WARM_UP = 3
"""Runs before the graph is recorded; in the first, cuDNN times its algorithms."""


def graphed(module: nn.Module, task: Task, *, tf32: bool = False, bfloat16: bool = False) -> Ready:
    """The module on the GPU, in float32 (``tf32``: its products in that), or in bfloat16 with the channels last."""
    import torch

    from loopwright.measurement.device import event_clock

    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
    module, images = module.cuda(), torch.from_numpy(task.images()).cuda()
    if bfloat16:
        module = module.bfloat16().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        images = images.bfloat16().to(memory_format=torch.channels_last)
    side, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
    with torch.no_grad():
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                module(images)
        torch.cuda.synchronize()
        with torch.cuda.graph(graph):
            outputs = module(images)

    def run() -> object:
        graph.replay()
        return outputs

    return Ready(run, "bfloat16" if bfloat16 else "tf32" if tf32 else FLOAT32, event_clock)
