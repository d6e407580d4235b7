"""The number of multiply-accumulates: what every other proxy has to do better than."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from loopwright.legality.proxies._base import Proxy
from loopwright.legality.proxies._passes import constants, run, scoring, tensors
from loopwright.models.images import Minibatch


class Macs(Proxy):
    """Multiply-accumulates of convolutions and matrix products for one image, counted as they are computed; those of
    operators of transformed networks as their form has them, however the device computes them."""

    name: ClassVar[str] = "macs"
    title: ClassVar[str] = "the number of multiply-accumulates"
    paper: ClassVar[str] = "a trivial baseline"

    def score(self, module: nn.Module, minibatch: Minibatch) -> float:
        images, _ = tensors(module, minibatch, self.title)
        operators = _Operators(module)
        with (
            scoring(module, batch_statistics=False),
            torch.no_grad(),
            FlopCounterMode(display=False) as counter,
            operators.apart(counter),
        ):
            run(module, constants(module), images[:1])
        return (counter.get_total_flops() - operators.counted) / 2 + operators.macs


class _Operators:
    """Hooks that tell what of the counted operations was inside the operators that know their own number, and how many
    multiply-accumulates these have."""

    def __init__(self, module: nn.Module):
        self.modules = [child for child in module.modules() if isinstance(getattr(child, "macs", None), int)]
        self.counted, self.macs = 0, 0

    @contextmanager
    def apart(self, counter: FlopCounterMode) -> Iterator[None]:
        def before(*_: object) -> None:
            self.counted -= counter.get_total_flops()

        def after(operator: nn.Module, *_: object) -> None:
            self.counted += counter.get_total_flops()
            self.macs += getattr(operator, "macs")  # noqa: B009  # Module types its attributes as tensors

        handles = [child.register_forward_pre_hook(before) for child in self.modules]
        handles += [child.register_forward_hook(after) for child in self.modules]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
