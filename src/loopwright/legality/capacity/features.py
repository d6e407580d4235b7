"""What the predictor sees of a candidate: how each proxy's score differs from the original's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite, log, nan

import numpy as np

FEATURES = ("macs", "parameters", "synflow", "naswot", "fisher", "snip", "grad_norm", "jacob_cov")
"""The proxies that are asked, from the cheapest on."""


def _ratio(score: float, original: float) -> float:
    return log(score / original) if score * original > 0 else nan


def _difference(score: float, original: float) -> float:
    return score - original


DIFFERS: Mapping[str, Callable[[float, float], float]] = {"synflow": _difference, "naswot": _difference}
"""`synflow` and `naswot` are logarithms; of the others, the logarithm of the ratio is taken."""


def features(scores: Mapping[str, float], original: Mapping[str, float], names: Sequence[str]) -> np.ndarray:
    """One number for each of the proxies ``names`` (k,), zero where the candidate scores like the original; NaN where
    a score is no number, or has no logarithm."""
    found = [DIFFERS.get(name, _ratio)(scores[name], original[name]) for name in names]
    return np.array([value if isfinite(value) else nan for value in found])
