"""From a candidate's features to the points of accuracy that it loses, with an interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from loopwright.errors import DataError
from loopwright.legality.capacity.features import FEATURES, features
from loopwright.legality.capacity.gaussian_process import GaussianProcess
from loopwright.legality.capacity.table import Table

CONFIDENCE = 0.65
"""The probability that a candidate stays within the tolerance, from which on it is accepted."""
SCALE = 2.0
"""Points of accuracy below which drops count in proportion, and above which by their order of magnitude."""
WHOLE = 100.0
"""Points that no accuracy can fall or rise by more than."""
LEAST_NETWORKS = 8
INTERVAL = 0.8


@dataclass(frozen=True)
class Prediction:
    """A drop in points of accuracy, normally distributed on the scale asinh(drop / `SCALE`)."""

    mean: float
    deviation: float

    @property
    def drop(self) -> float:
        """The median, in points."""
        return self.quantile(0.5)

    @property
    def interval(self) -> tuple[float, float]:
        """In points; the drop lies inside with the probability `INTERVAL`."""
        return self.quantile((1 - INTERVAL) / 2), self.quantile((1 + INTERVAL) / 2)

    def quantile(self, probability: float) -> float:
        """The drop in points that is not exceeded with this probability."""
        most = float(np.arcsinh(WHOLE / SCALE))
        scaled = NormalDist(self.mean, max(self.deviation, 1e-9)).inv_cdf(probability)
        return SCALE * float(np.sinh(np.clip(scaled, -most, most)))

    def probability(self, tolerance: float) -> float:
        """That the drop is at most so many points."""
        return NormalDist(self.mean, max(self.deviation, 1e-9)).cdf(float(np.arcsinh(tolerance / SCALE)))


@dataclass(frozen=True, eq=False)
class DropPredictor:
    """Predicts from the proxies ``names``, held against the scores of the ``original``."""

    names: tuple[str, ...]
    process: GaussianProcess

    @classmethod
    def of(cls, table: Table, names: tuple[str, ...] = FEATURES) -> DropPredictor:
        """Learnt from the networks of a table that have all of the scores, and from the original, which loses nothing.
        Raises `DataError` if the networks are too few."""
        inputs = table.features(names)
        usable = ~np.isnan(inputs).any(1)
        if usable.sum() < LEAST_NETWORKS:
            raise DataError(f"a calibration needs at least {LEAST_NETWORKS} trained networks, not {usable.sum()}")
        inputs = np.vstack([inputs[usable], np.zeros(len(names))])
        drops, errors = np.append(table.drops[usable], 0.0), np.append(table.errors[usable], 0.0)
        noise = (errors / np.hypot(drops, SCALE)) ** 2  # the error times the slope of the scale
        return cls(names, GaussianProcess.fit(inputs, np.arcsinh(drops / SCALE), noise))

    def predict(self, scores: Mapping[str, float], original: Mapping[str, float]) -> Prediction | None:
        """None if one of the scores is no number, or can't be held against the original's."""
        [found] = self.predict_all(features(scores, original, self.names)[None])
        return found

    def predict_all(self, inputs: np.ndarray) -> list[Prediction | None]:
        """For `features` (m, names)."""
        usable = ~np.isnan(inputs).any(1)
        means, deviations = self.process.predict(np.where(usable[:, None], inputs, 0.0))
        both = zip(means.tolist(), deviations.tolist(), usable.tolist(), strict=True)
        return [Prediction(mean, deviation) if known else None for mean, deviation, known in both]
