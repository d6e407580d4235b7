"""ZiCo: Li et al. (ICLR 2023), the definition at the end of section 3.

Over the gradients that several minibatches give for a weight w,

    score = sum over layers of log (sum over the layer's weights of E|dL/dw| / sqrt(Var|dL/dw|))

The two minibatches of the paper are the two halves of ours. Weights whose gradient does not vary are left out, as in
the authors' code, and so are layers that have no others.
"""

from __future__ import annotations

from collections import defaultdict
from math import log
from typing import ClassVar

import torch
from torch import Tensor, nn

from loopwright.legality.proxies._base import Proxy
from loopwright.legality.proxies._passes import layer_of, tensors, weight_gradients
from loopwright.models.images import Minibatch

BATCHES = 2


class ZiCo(Proxy):
    """How steady the gradients are from one half of the minibatch to the other."""

    name: ClassVar[str] = "zico"
    title: ClassVar[str] = "ZiCo"
    paper: ClassVar[str] = (
        "Li, Yang, Bhardwaj, Marculescu: ZiCo: Zero-shot NAS via Inverse Coefficient of Variation on Gradients "
        "(ICLR 2023), section 3"
    )

    def score(self, module: nn.Module, minibatch: Minibatch) -> float:
        images, labels = tensors(module, minibatch, self.title, least=2 * BATCHES)
        parts = zip(images.tensor_split(BATCHES), labels.tensor_split(BATCHES), strict=True)
        found = [weight_gradients(module, *part, self.title) for part in parts]
        sums: dict[str, float] = defaultdict(float)
        for name in found[0]:
            sums[layer_of(name)] += _steadiness(torch.stack([gradients[name] for gradients in found]))
        return float(sum(log(total) for total in sums.values() if total != 0))


def _steadiness(gradients: Tensor) -> float:
    """The sum over the weights of mean over standard deviation of |gradient|, from gradients (batches, ...)."""
    sizes = gradients.double().abs()
    mean, deviation = sizes.mean(0), sizes.std(0, correction=0)
    varies = deviation != 0
    return float((mean[varies] / deviation[varies]).sum())
