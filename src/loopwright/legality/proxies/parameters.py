"""The number of parameters: what every other proxy has to do better than."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from loopwright.legality.proxies._base import Proxy
from loopwright.legality.proxies._passes import tensors
from loopwright.models.images import Minibatch


class Parameters(Proxy):
    """Elements of all parameters, each counted once."""

    name: ClassVar[str] = "parameters"
    title: ClassVar[str] = "the number of parameters"
    paper: ClassVar[str] = "a trivial baseline"

    def score(self, module: nn.Module, minibatch: Minibatch) -> float:
        tensors(module, minibatch, self.title)
        return float(sum(parameter.numel() for parameter in module.parameters()))
