"""The number of multiply-accumulates: what every other proxy has to do better than."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from loopwright.legality.proxies._base import Proxy
from loopwright.legality.proxies._passes import constants, run, scoring, tensors
from loopwright.models.images import Minibatch


class Macs(Proxy):
    """Multiply-accumulates of convolutions and matrix products for one image, counted as they are computed."""

    name: ClassVar[str] = "macs"
    title: ClassVar[str] = "the number of multiply-accumulates"
    paper: ClassVar[str] = "a trivial baseline"

    def score(self, module: nn.Module, minibatch: Minibatch) -> float:
        images, _ = tensors(module, minibatch, self.title)
        with scoring(module, batch_statistics=False), torch.no_grad(), FlopCounterMode(display=False) as counter:
            run(module, constants(module), images[:1])
        return counter.get_total_flops() / 2
