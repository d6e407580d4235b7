"""Gaussian process regression: Rasmussen, Williams, Gaussian Processes for Machine Learning (2006), chapters 2 and 5.

The prior of f is a constant plus a linear and a squared-exponential part over standardised inputs (equations 2.10 and
2.31), with one length for all inputs. What is observed is f plus a part that each network has to itself (a new network
has it too), plus the noise of its measurement, whose variance is given. The four hyperparameters maximise the marginal
likelihood (equation 5.8) times weak log-normal priors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

PRIOR_MEAN = np.array([0.0, -2.0, -1.5, 1.0])
"""Of the logarithms of the squared-exponential part's deviation, the linear part's, the own part's, and the length."""
PRIOR_DEVIATION = 1.5
BOUNDS = ((-4.0, 3.0), (-4.0, 3.0), (-4.0, 3.0), (-1.0, 4.0))
JITTER = 1e-8


@dataclass(frozen=True, eq=False)
class GaussianProcess:
    """Fitted to standardised ``inputs`` (n, k)."""

    mean: np.ndarray
    deviation: np.ndarray
    inputs: np.ndarray
    logs: np.ndarray
    constant: float
    factor: np.ndarray
    weights: np.ndarray

    @classmethod
    def fit(cls, inputs: np.ndarray, targets: np.ndarray, noise: np.ndarray) -> GaussianProcess:
        """To ``inputs`` (n, k), ``targets`` (n,) and the variances of their ``noise`` (n,)."""
        mean, deviation = inputs.mean(0), inputs.std(0) + 1e-9
        standard = (inputs - mean) / deviation
        start = PRIOR_MEAN + np.array([np.log(targets.std() + 1e-3), 0.0, 0.0, 0.0])
        objective = _Objective(standard, targets, noise)
        found = minimize(objective, np.clip(start, *np.transpose(BOUNDS)), method="L-BFGS-B", bounds=BOUNDS)
        factor, constant, weights = objective.solved(found.x)
        return cls(mean, deviation, standard, found.x, constant, factor, weights)

    def predict(self, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation (m,) of what new networks with ``inputs`` (m, k) have, measured without noise."""
        points = (inputs - self.mean) / self.deviation
        across = _covariance(points, self.inputs, self.logs)
        explained = solve_triangular(self.factor, across.T, lower=True)
        prior = np.diag(_covariance(points, points, self.logs)) + np.exp(2 * self.logs[2])
        variance = prior - (explained**2).sum(0)
        return self.constant + across @ self.weights, np.sqrt(np.maximum(variance, 0.0))


@dataclass(frozen=True, eq=False)
class _Objective:
    """The negative logarithm of marginal likelihood times priors, as a function of the logarithms."""

    inputs: np.ndarray
    targets: np.ndarray
    noise: np.ndarray

    def __call__(self, logs: np.ndarray) -> float:
        factor, constant, weights = self.solved(logs)
        fit = (self.targets - constant) @ weights / 2 + np.log(np.diag(factor)).sum()
        return float(fit + (((logs - PRIOR_MEAN) / PRIOR_DEVIATION) ** 2).sum() / 2)

    def solved(self, logs: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
        """The covariance's lower Cholesky factor, the constant that fits best, and the covariance's inverse times the
        targets less the constant."""
        own = self.noise + np.exp(2 * logs[2]) + JITTER
        factor = cholesky(_covariance(self.inputs, self.inputs, logs) + np.diag(own), lower=True)
        ones = cho_solve((factor, True), np.ones(len(self.targets)))
        constant = float(ones @ self.targets / ones.sum())
        return factor, constant, cho_solve((factor, True), self.targets - constant)


def _covariance(a: np.ndarray, b: np.ndarray, logs: np.ndarray) -> np.ndarray:
    distance = ((a[:, None] - b[None]) ** 2).sum(-1)
    curved = np.exp(2 * logs[0] - distance / (2 * np.exp(2 * logs[3])))
    linear: np.ndarray = np.exp(2 * logs[1]) * (a @ b.T)
    return curved + linear
