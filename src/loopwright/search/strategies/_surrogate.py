"""What verdicts say of the margins of candidates that were not judged: a Bayesian linear model.

A margin (`loopwright.legality.capacity.margin`) is taken as a constant and a sum over the layers that change. A layer's
part is linear in features of three kinds: what all layers have in common (that it changes at all, the logarithms of its
shares of multiply-accumulates and parameters), the first of these logarithms layer by layer, and which operator of its
workload it takes. Weights have normal priors, of one variance a kind; these, and that of the noise, are those of a grid
under which the margins are most likely (evidence maximisation; MacKay, Bayesian Interpolation, 1992).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from math import log

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular

from loopwright.search.space import Choice, SearchSpace

Choices = Mapping[str, Choice]

CONSTANT_DEVIATION = 4.0
COMMON, BY_LAYER, BY_OPERATOR = (0.1, 0.3, 1.0), (0.03, 0.1, 0.3), (0.03, 0.1, 0.3)
"""Standard deviations of weights that are tried, by kind."""
NOISE = (0.2, 0.4, 0.8)


class Features:
    """The features of every layer's choices: `of` gives those of a candidate (features,), `part` those of one layer's
    choice; the first feature is the constant."""

    def __init__(self, space: SearchSpace):
        self._space = space
        layers = list(space.layers)
        operators = [(workload, choice.key) for workload, found in space.choices.items() for choice in found[1:]]
        self._layer = {layer: 4 + k for k, layer in enumerate(layers)}
        self._operator = {own: 4 + len(layers) + k for k, own in enumerate(operators)}
        self.count = 4 + len(layers) + len(operators)
        self.kinds = np.array([0, 1, 1, 1, *[2] * len(layers), *[3] * len(operators)])

    def part(self, layer: str, choice: Choice) -> np.ndarray:
        """What the layer adds with this operator; nothing with the untouched one."""
        found = np.zeros(self.count)
        workload = self._space.layers[layer]
        original = self._space.choices[workload][0]
        if choice.key != original.key:
            macs = log(choice.form.macs / original.form.macs)
            found[1:4] = 1.0, macs, log(max(choice.form.parameters, 1) / max(original.form.parameters, 1))
            found[self._layer[layer]] = macs
            found[self._operator[workload, choice.key]] = 1.0
        return found

    def of(self, choices: Choices) -> np.ndarray:
        """The constant, and the sum of the parts."""
        found = sum((self.part(layer, choice) for layer, choice in choices.items()), np.zeros(self.count))
        found[0] = 1.0
        return found


@dataclass(frozen=True, eq=False)
class Surrogate:
    """The posterior of the weights: ``mean`` (features,), and a factor L (features, features) of which the inverse's
    transpose times a standard normal vector is a draw of what is left unknown. ``noise`` is what the model can't tell
    of one margin, a standard deviation."""

    mean: np.ndarray
    factor: np.ndarray
    scale: np.ndarray
    noise: float

    @classmethod
    def fit(cls, features: Features, inputs: np.ndarray, margins: np.ndarray) -> Surrogate:
        """From ``inputs`` (candidates, features) and their ``margins`` (candidates,)."""
        grams = [inputs[:, features.kinds == kind] @ inputs[:, features.kinds == kind].T for kind in range(4)]

        def evidence(deviations: tuple[float, ...]) -> float:
            *weights, noise = deviations
            covariance = CONSTANT_DEVIATION**2 * grams[0] + noise**2 * np.eye(len(margins))
            covariance += sum(own**2 * gram for own, gram in zip(weights, grams[1:], strict=True))
            lower, _ = factor = cho_factor(covariance, lower=True)
            return float(-np.log(np.diag(lower)).sum() - margins @ cho_solve(factor, margins) / 2)

        *weights, noise = max(product(COMMON, BY_LAYER, BY_OPERATOR, NOISE), key=evidence)
        scale = np.array([CONSTANT_DEVIATION, *weights])[features.kinds]
        scaled = inputs * scale
        precision = scaled.T @ scaled / noise**2 + np.eye(features.count)
        lower = np.linalg.cholesky(precision)
        mean = cho_solve((lower, True), scaled.T @ margins / noise**2)
        return cls(scale * mean, lower, scale, noise)

    def drawn(self, normal: np.ndarray) -> np.ndarray:
        """Weights that may be the true ones, drawn with the standard ``normal`` (features,)."""
        spread: np.ndarray = solve_triangular(self.factor, normal, lower=True, trans="T")
        return self.mean + self.scale * spread
