"""How well scores agree with trained accuracies: rank correlations, and what the rule "reject below the original" lets
through."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from loopwright.legality.capacity.comparison import ROUNDING

LEVEL = 0.95
TOP = 0.25
"""Originals are taken from this part of the networks, the most accurate ones."""
SMALLER = 0.9
"""Candidates have at most this part of the original's multiply-accumulates."""
TOLERANCE = 1.0
"""Legal is a candidate that loses no more than so many points of accuracy against the original."""


@dataclass(frozen=True)
class Estimate:
    """A figure with the bounds of its bootstrap interval of level `LEVEL`; no numbers where it is not defined."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Rule:
    """What accepting candidates came to, summed over ``originals`` originals.

    ``precision`` is the part of the accepted that was legal, ``recall`` the part of the legal that was accepted,
    ``base`` the part of all candidates that was legal, which is the precision of accepting everything.
    """

    originals: int
    candidates: int
    legal: int
    accepted: int
    accepted_legal: int
    precision: Estimate
    recall: Estimate

    @property
    def base(self) -> float:
        return self.legal / self.candidates if self.candidates else np.nan


def comparable(scores: np.ndarray) -> np.ndarray:
    """``scores`` with those that are no finite number, which the check rejects, below all others."""
    return np.where(np.isfinite(scores), scores, -np.inf)


def spearman(scores: np.ndarray, accuracies: np.ndarray, resamples: int, seed: int) -> Estimate:
    """Spearman's rank correlation, signed."""
    return _bootstrapped(lambda a, b: stats.spearmanr(a, b).statistic, comparable(scores), accuracies, resamples, seed)


def kendall(scores: np.ndarray, accuracies: np.ndarray, resamples: int, seed: int) -> Estimate:
    """Kendall's tau-b, signed."""
    return _bootstrapped(lambda a, b: stats.kendalltau(a, b).statistic, comparable(scores), accuracies, resamples, seed)


def rank_sum(columns: Sequence[np.ndarray]) -> np.ndarray:
    """The sum of the ranks under several scores."""
    return np.sum([stats.rankdata(comparable(scores)) for scores in columns], 0)


def originals(accuracies: np.ndarray) -> np.ndarray:
    """Indices of the `TOP` part, the most accurate first."""
    order = np.argsort(-accuracies, kind="stable")
    return order[: max(1, int(len(order) * TOP))]


def rule(
    scores: np.ndarray,
    accuracies: np.ndarray,
    macs: np.ndarray,
    chosen: np.ndarray,
    resamples: int,
    seed: int,
) -> Rule:
    """Accepting candidates whose score is not below the original's, for the originals of the indices ``chosen``.

    An original whose score is no number accepts nothing, as in the check.
    """
    return _rule([_counts(comparable(scores), accuracies, macs, one) for one in chosen], resamples, seed)


def accept_everything(accuracies: np.ndarray, macs: np.ndarray, chosen: np.ndarray, resamples: int, seed: int) -> Rule:
    """The same for a rule that rejects nothing."""
    return rule(np.ones_like(accuracies), accuracies, macs, chosen, resamples, seed)


def _counts(scores: np.ndarray, accuracies: np.ndarray, macs: np.ndarray, original: int) -> tuple[int, int, int, int]:
    """Candidates, legal ones, accepted ones, and those that are both."""
    candidates = macs <= SMALLER * macs[original]
    legal = candidates & (accuracies >= accuracies[original] - TOLERANCE)
    threshold = scores[original] - ROUNDING * abs(scores[original])
    accepted = candidates & (scores >= threshold) if np.isfinite(threshold) else np.zeros_like(candidates)
    both = legal & accepted
    return int(candidates.sum()), int(legal.sum()), int(accepted.sum()), int(both.sum())


def _rule(counts: list[tuple[int, int, int, int]], resamples: int, seed: int) -> Rule:
    table = np.array(counts)
    candidates, legal, accepted, both = (int(total) for total in table.sum(0))
    drawn = np.random.default_rng(seed).integers(len(table), size=(resamples, len(table)))
    again = table[drawn].sum(1)
    return Rule(
        len(table),
        candidates,
        legal,
        accepted,
        both,
        precision=Estimate(_ratio(both, accepted), *_interval(_ratios(again[:, 3], again[:, 2]))),
        recall=Estimate(_ratio(both, legal), *_interval(_ratios(again[:, 3], again[:, 1]))),
    )


def _bootstrapped(
    statistic: Callable[[np.ndarray, np.ndarray], float],
    scores: np.ndarray,
    accuracies: np.ndarray,
    resamples: int,
    seed: int,
) -> Estimate:
    if len(np.unique(scores)) < 2:
        return Estimate(np.nan, np.nan, np.nan)
    random = np.random.default_rng(seed)
    draws = (random.integers(len(scores), size=len(scores)) for _ in range(resamples))
    values = np.array([statistic(scores[draw], accuracies[draw]) for draw in draws])
    return Estimate(float(statistic(scores, accuracies)), *_interval(values))


def _interval(values: np.ndarray) -> tuple[float, float]:
    defined = values[np.isfinite(values)]
    if not len(defined):
        return np.nan, np.nan
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else np.nan


def _ratios(parts: np.ndarray, wholes: np.ndarray) -> np.ndarray:
    return np.divide(parts, wholes, out=np.full(len(parts), np.nan), where=wholes > 0)
