"""The Jacobian's covariance: Mellor et al., the first version of NASWOT (arXiv 2006.04647v1, section 3).

Row i of J is the gradient of the sum of the class scores in image i. With the eigenvalues s_i of the correlation matrix
of these rows and k = 1e-5,

    score = -sum_i (log(s_i + k) + 1 / (s_i + k))
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from loopwright.legality.proxies._base import Proxy
from loopwright.legality.proxies._passes import class_scores, constants, gradients, run, scoring, tensors
from loopwright.models.images import Minibatch

K = 1e-5


class JacobCov(Proxy):
    """How little the network's linear maps at different images have in common; no number if one of them is zero."""

    name: ClassVar[str] = "jacob_cov"
    title: ClassVar[str] = "the Jacobian's covariance"
    paper: ClassVar[str] = (
        "Mellor, Turner, Storkey, Crowley: Neural Architecture Search without Training (arXiv 2006.04647v1, 2020), "
        "section 3; Abdelfattah et al. (ICLR 2021), section 3.2"
    )

    def score(self, module: nn.Module, minibatch: Minibatch) -> float:
        images, _ = tensors(module, minibatch, self.title)
        images.requires_grad_()
        with scoring(module):
            outputs = class_scores(run(module, constants(module), images), self.title)
            jacobian = gradients(outputs.sum(), {"images": images})["images"]
        correlations = correlation_matrix(jacobian.flatten(1))
        if not np.isfinite(correlations).all():
            return float("nan")
        eigenvalues = np.linalg.eigvalsh(correlations).clip(min=0)
        return float(-np.sum(np.log(eigenvalues + K) + 1 / (eigenvalues + K)))


def correlation_matrix(rows: Tensor) -> np.ndarray:
    """Pearson's correlation of each row with each, float64; no numbers for rows without variance."""
    centred = rows.detach().double()
    centred = centred - centred.mean(1, keepdim=True)
    directions = centred / torch.linalg.vector_norm(centred, dim=1, keepdim=True)
    return (directions @ directions.T).cpu().numpy()
