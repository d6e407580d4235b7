"""How far a verdict is from the other decision, as a number that a search can learn to predict."""

from __future__ import annotations

from math import isfinite, log
from statistics import NormalDist

from loopwright.legality.capacity.calibrated import CHECK as CALIBRATED
from loopwright.legality.capacity.predictor import CONFIDENCE
from loopwright.legality.capacity.sequential import CHECK as FISHER
from loopwright.legality.verdict import Verdict

MOST = 4.0
"""Margins lie between this and its negative."""
LEAST = 1e-6
LEAST_PROBABILITY = 1e-9


def margin(verdict: Verdict) -> float:
    """Positive for the legal, negative for the illegal, from -`MOST` to `MOST`. For the calibrated check the normal
    quantile of the probability that it gives less that of `CONFIDENCE`; for Fisher Potential the
    logarithm of the candidate's over the original's; for any other check, 1 or -1."""
    found = _distance(verdict)
    if not isfinite(found):
        found = -MOST
    found = max(-MOST, min(MOST, found))
    return max(found, LEAST) if verdict.legal else min(found, -LEAST)


def _distance(verdict: Verdict) -> float:
    scores = verdict.scores
    if verdict.check == CALIBRATED:
        probability = scores.get("probability", 0.0)
        if not isfinite(probability):
            return -MOST
        quantile = NormalDist().inv_cdf
        bounded = min(max(probability, LEAST_PROBABILITY), 1 - LEAST_PROBABILITY)
        return quantile(bounded) - quantile(CONFIDENCE)
    if verdict.check == FISHER:
        ratio = scores["fisher"] / scores["fisher_original"]
        return log(ratio) if ratio > 0 and isfinite(ratio) else -MOST
    return 1.0 if verdict.legal else -1.0
