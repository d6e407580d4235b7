"""The accuracy of a network over a data set."""

from __future__ import annotations

import torch
from torch import nn
from torch.backends import cudnn

from loopwright.models.modes import evaluating
from loopwright.training.images import Images, normalised

EVALUATED = 250
"""Images evaluated at once."""


@torch.no_grad()
def accuracy(module: nn.Module, images: Images, batch: int = EVALUATED) -> float:
    """The percentage of ``images`` whose class gets the highest score of ``module`` in evaluation mode, in float32,
    ``batch`` at a time. Both lie on one device; the module stays as it is."""
    right = torch.zeros((), dtype=torch.int64, device=images.labels.device)
    one_way = cudnn.flags(enabled=cudnn.enabled, benchmark=False, deterministic=True, allow_tf32=False)
    with evaluating(module), one_way:
        for start in range(0, len(images), batch):
            part = images.part(start, start + batch)
            right += (module(normalised(part, torch.float32)).argmax(1) == part.labels).sum()
    return 100 * int(right) / len(images)
