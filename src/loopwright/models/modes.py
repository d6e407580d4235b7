"""Modules in evaluation mode for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def evaluating(module: nn.Module, batch_statistics: bool = False) -> Iterator[None]:
    """Inside, every part of the module is in evaluation mode, but for batch norms with ``batch_statistics``, which
    normalise by what they see; afterwards each is in its own mode again."""
    modes = {child: child.training for child in module.modules()}
    module.eval()
    for child in modes:
        if batch_statistics and isinstance(child, _BatchNorm):
            child.training = True
    try:
        yield
    finally:
        for child, training in modes.items():
            child.training = training
