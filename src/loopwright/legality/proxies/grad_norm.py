"""The norm of the gradient: Abdelfattah et al. (ICLR 2021), section 3.2."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from loopwright.legality.proxies._base import Proxy
from loopwright.legality.proxies._passes import layer_of, tensors, weight_gradients
from loopwright.models.images import Minibatch


class GradNorm(Proxy):
    """Sum over the layers of the Euclidean norm of the gradient of the loss in the layer's weights."""

    name: ClassVar[str] = "grad_norm"
    title: ClassVar[str] = "the gradient's norm"
    paper: ClassVar[str] = (
        "Abdelfattah, Mehrotra, Dudziak, Lane: Zero-Cost Proxies for Lightweight NAS (ICLR 2021), section 3.2"
    )

    def score(self, module: nn.Module, minibatch: Minibatch) -> float:
        images, labels = tensors(module, minibatch, self.title)
        return grad_norm(weight_gradients(module, images, labels, self.title))


def grad_norm(found: Mapping[str, Tensor]) -> float:
    """The score by the gradients of the weights."""
    squares: dict[str, float] = defaultdict(float)
    for name, gradient in found.items():
        squares[layer_of(name)] += gradient.double().square().sum().item()
    return float(sum(square**0.5 for square in squares.values()))
