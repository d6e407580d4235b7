"""Modules to trace."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn


class Calls(nn.Module):
    """A module that is one function of its input."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]):
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)
