"""SNIP: Lee et al. (ICLR 2019), the sensitivity of equation 6 without its normalisation, summed over the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from loopwright.legality.proxies._base import Proxy
from loopwright.legality.proxies._passes import tensors, weight_gradients
from loopwright.models.images import Minibatch


class Snip(Proxy):
    """Sum over all weights w of |w * dL/dw|."""

    name: ClassVar[str] = "snip"
    title: ClassVar[str] = "SNIP"
    paper: ClassVar[str] = (
        "Lee, Ajanthan, Torr: SNIP: Single-Shot Network Pruning Based on Connection Sensitivity (ICLR 2019), "
        "equation 6; summed as by Abdelfattah et al. (ICLR 2021), section 3.2"
    )

    def score(self, module: nn.Module, minibatch: Minibatch) -> float:
        images, labels = tensors(module, minibatch, self.title)
        found = weight_gradients(module, images, labels, self.title)
        return snip(module, found)


def snip(module: nn.Module, found: Mapping[str, Tensor]) -> float:
    """The score by the gradients of the weights."""
    saliencies = [(module.get_parameter(name).detach() * gradient).abs() for name, gradient in found.items()]
    return float(sum(saliency.double().sum().item() for saliency in saliencies))
