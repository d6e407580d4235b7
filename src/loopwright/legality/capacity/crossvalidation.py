"""How good a check is on networks whose recipes it has never seen."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from loopwright.legality.capacity.features import FEATURES
from loopwright.legality.capacity.predictor import DropPredictor, Prediction
from loopwright.legality.capacity.table import Table

Z95 = 1.96


@dataclass(frozen=True)
class Confusion:
    """How often a check was right. ``good`` networks stay within the tolerance."""

    accepted_good: int
    accepted: int
    good: int
    networks: int

    @classmethod
    def of(cls, accepted: np.ndarray, good: np.ndarray) -> Confusion:
        """From two boolean arrays (networks,)."""
        return cls(int((accepted & good).sum()), int(accepted.sum()), int(good.sum()), len(good))

    @property
    def precision(self) -> float:
        """The part of the accepted that is good; NaN if none is accepted."""
        return self.accepted_good / self.accepted if self.accepted else float("nan")

    @property
    def recall(self) -> float:
        """The part of the good that is accepted."""
        return self.accepted_good / self.good if self.good else float("nan")

    @property
    def precision_interval(self) -> tuple[float, float]:
        """With a confidence of 95 %."""
        return wilson(self.accepted_good, self.accepted)

    @property
    def recall_interval(self) -> tuple[float, float]:
        """With a confidence of 95 %."""
        return wilson(self.accepted_good, self.good)


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a proportion (Journal of the American Statistical Association, 1927)."""
    if not trials:
        return 0.0, 1.0
    share, z2 = successes / trials, Z95**2 / trials
    middle = (share + z2 / 2) / (1 + z2)
    half = Z95 / (1 + z2) * sqrt(share * (1 - share) / trials + z2 / (4 * trials))
    return max(0.0, middle - half), min(1.0, middle + half)


def predictions(table: Table, names: tuple[str, ...] = FEATURES) -> list[Prediction | None]:
    """For every network, by a predictor that was fitted, hyperparameters and all, without any network that shares a
    recipe with it."""
    inputs = table.features(names)
    found: list[Prediction | None] = [None] * len(table.networks)
    for families in dict.fromkeys(own.families for own in table.networks):
        predictor = DropPredictor.of(table.only(not families & own.families for own in table.networks), names)
        members = [number for number, own in enumerate(table.networks) if own.families == families]
        for number, prediction in zip(members, predictor.predict_all(inputs[members]), strict=True):
            found[number] = prediction
    return found
