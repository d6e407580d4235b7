"""NASWOT: Mellor et al. (ICML 2021), equation 2.

Which of the N_A rectified linear units of the network are on for image i is a binary code c_i. With the Hamming
distances d_H of the codes,

    K_ij = N_A - d_H(c_i, c_j),    score = log |det K|

Rectified linear units are found where they are computed, be they modules, functions or methods: `relu`, `relu6`,
`leaky_relu`, `prelu`, `threshold`, and `clamp` from below.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from loopwright.errors import ArgumentError
from loopwright.legality.proxies._base import Proxy
from loopwright.legality.proxies._passes import constants, run, scoring, tensors
from loopwright.models.images import Minibatch

RECTIFIERS = ("relu", "leaky_relu", "_prelu_kernel")
BOUNDED = ("hardtanh", "threshold", "clamp", "clamp_min")
"""Rectified linear units if the bound that they are called with is 0; `relu6` comes down to `hardtanh`."""


class Naswot(Proxy):
    """The logarithm of the determinant of the kernel of activation codes; minus infinity if two images have one code.

    Codes are taken where the units' first axis is that of the images.
    """

    name: ClassVar[str] = "naswot"
    title: ClassVar[str] = "NASWOT"
    paper: ClassVar[str] = (
        "Mellor, Turner, Storkey, Crowley: Neural Architecture Search without Training (ICML 2021), equation 2"
    )

    def score(self, module: nn.Module, minibatch: Minibatch) -> float:
        images, _ = tensors(module, minibatch, self.title)
        with scoring(module), torch.no_grad(), _Codes(len(images)) as codes:
            run(module, constants(module), images)
        if codes.kernel is None:
            raise ArgumentError(
                f"the network has no rectified linear units; {self.title} compares which of them are on"
            )
        return float(np.linalg.slogdet(codes.kernel.cpu().numpy())[1])


class _Codes(TorchDispatchMode):
    """Sums up the kernel (N, N) over all rectified linear units that are computed inside."""

    def __init__(self, images: int):
        super().__init__()
        self.images = images
        self.kernel: Tensor | None = None

    def __torch_dispatch__(
        self,
        function: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if _rectifies(function, args, kwargs or {}):
            self._add(args[0])
        return function(*args, **(kwargs or {}))

    def _add(self, units: Tensor) -> None:
        if units.ndim < 2 or len(units) != self.images:
            return
        on = (units > 0).flatten(1).to(torch.float32)
        agreeing = (on @ on.T + (1 - on) @ (1 - on).T).double()
        self.kernel = agreeing if self.kernel is None else self.kernel + agreeing


def _rectifies(function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    name = function.overloadpacket.__name__.removesuffix("_")
    if name in BOUNDED:
        lower = args[1] if len(args) > 1 else kwargs.get("min")
        return isinstance(lower, int | float) and lower == 0
    return name in RECTIFIERS
