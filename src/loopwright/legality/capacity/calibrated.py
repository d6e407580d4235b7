"""The calibrated check: legal if the predicted drop stays within the tolerance, at a stated confidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from math import isfinite, nan

from torch import nn

from loopwright.errors import ArgumentError
from loopwright.keeping import Keep, nowhere
from loopwright.legality.capacity.comparison import require_comparable, require_convolution
from loopwright.legality.capacity.features import FEATURES
from loopwright.legality.capacity.predictor import CONFIDENCE, INTERVAL, DropPredictor, Prediction
from loopwright.legality.capacity.table import Table
from loopwright.legality.proxies import Proxy, named
from loopwright.legality.proxies._joint import JOINT, joint_scores
from loopwright.legality.proxies._passes import require_usable
from loopwright.legality.proxies.fisher import Fisher, convolutions
from loopwright.legality.verdict import Verdict
from loopwright.models.images import Minibatch

CHECK = "calibrated"
STAGES = (3, 4, len(FEATURES))
"""How many of `FEATURES` are known when a candidate is predicted, each time."""
HOPELESS = 0.2
"""A candidate that stays within the tolerance with less than this probability is not scored further."""


KeptScores = Keep[Minibatch, Mapping[str, float]]
"""The scores of the original on a minibatch."""


@dataclass(frozen=True, eq=False)
class CalibratedCheck:
    """Holds candidates against the scores of the ``original`` on ``minibatch``. ``tolerance`` is in points of
    accuracy; ``predictors`` are one for each of `STAGES`."""

    proxies: Mapping[str, Proxy]
    minibatch: Minibatch
    original: Mapping[str, float]
    predictors: tuple[DropPredictor, ...]
    tolerance: float
    confidence: float

    @classmethod
    def of(
        cls,
        module: nn.Module,
        minibatch: Minibatch,
        table: Table,
        tolerance: float = 1.0,
        confidence: float = CONFIDENCE,
        keep: KeptScores = nowhere,
    ) -> CalibratedCheck:
        """The check for candidates of ``module``, which scores as many images as the table's networks were scored on;
        its own scores are kept, by ``keep``, for a later check.

        Raises `ArgumentError` if nothing can be held against the network or the tolerance is no number, `DataError` if
        images, labels or the table are unusable.
        """
        if not isfinite(tolerance):
            raise ArgumentError(f"the tolerance is {tolerance} points of accuracy; give a number such as 1.0")
        if not 0 < confidence < 1:
            raise ArgumentError(f"the confidence is {confidence}; give a probability between 0 and 1")
        proxies = proxies_for(module)
        if len(minibatch) < table.images:
            raise ArgumentError(
                f"the calibrated check was calibrated on {table.images} images, and {len(minibatch)} are given; "
                "give as many, or take the paper's check (--legality fisher)"
            )
        minibatch = minibatch.first(table.images)
        require_usable(module, minibatch, "the calibrated check")
        original = keep(minibatch, lambda: scores_of(module, minibatch, proxies))
        for name, score in original.items():
            require_comparable(proxies[name].title, score)
        predictors = tuple(DropPredictor.of(table, FEATURES[:known]) for known in STAGES)
        return cls(proxies, minibatch, original, predictors, tolerance, confidence)

    @property
    def protocol(self) -> str:
        """All that a verdict depends on but network, candidate and images, as text."""
        learnt = sha256()
        for predictor in self.predictors:
            for part in (predictor.process.inputs, predictor.process.weights, predictor.process.logs):
                learnt.update(part.round(6).tobytes())
        limits = f"at most {self.tolerance:g} points with probability {self.confidence:g}"
        stages = f"given up below {HOPELESS:g} after {STAGES[:-1]} proxies"
        return f"{limits}, {stages}, {len(self.minibatch)} images, predictor {learnt.hexdigest()[:12]}"

    def judge(self, module: nn.Module) -> Verdict:
        """Legal if ``module`` loses no more than the tolerance with the probability ``confidence`` at least. Scores
        hold what was asked of the proxies, and the prediction in points."""
        scores: dict[str, float] = {}
        for predictor in self.predictors:
            asked = {name: self.proxies[name] for name in predictor.names[len(scores) :]}
            scores |= scores_of(module, self.minibatch, asked)
            for name in asked:
                if not isfinite(scores[name]):
                    title = self.proxies[name].title
                    return self._verdict(False, f"{title[0].upper()}{title[1:]} is {scores[name]}", scores, None)
            found = predictor.predict(scores, self.original)
            if found is None:
                wrong = [name for name in scores if scores[name] * self.original[name] <= 0]
                return self._verdict(False, f"{', '.join(wrong)} can't be held against the original's", scores, None)
            last = predictor is self.predictors[-1]
            probability = found.probability(self.tolerance)
            if last or probability < HOPELESS:
                legal = last and probability >= self.confidence
                return self._verdict(legal, self._reason(found, probability, legal), scores, found)
        raise AssertionError("the last predictor decides")

    def _reason(self, found: Prediction, probability: float, legal: bool) -> str:
        low, high = found.interval
        predicted = f"loses {found.drop:.1f} points ({INTERVAL:.0%} of the time {low:.1f} to {high:.1f})"
        chance = f"at most {self.tolerance:g} with probability {probability:.2f}"
        if legal:
            return f"Predicted accuracy: {predicted}, {chance}"
        return f"Predicted accuracy too low: {predicted}, {chance}, which is below {self.confidence:g}"

    def _verdict(self, legal: bool, reason: str, scores: Mapping[str, float], found: Prediction | None) -> Verdict:
        low, high = (nan, nan) if found is None else found.interval
        predicted = {} if found is None else {
            "predicted_drop": found.drop, "predicted_drop_low": low, "predicted_drop_high": high,
            "probability": found.probability(self.tolerance),
        }  # fmt: skip
        originals = {f"{name}_original": self.original[name] for name in scores}
        known = {**scores, **originals, **predicted, "images": len(self.minibatch)}
        return Verdict(legal, CHECK, reason, scores=known)


def proxies_for(module: nn.Module) -> dict[str, Proxy]:
    """The proxies of `FEATURES`, for candidates of ``module``: Fisher Potential is taken at its convolutions. Raises
    `ArgumentError` if it has none."""
    require_convolution(module)
    layers = convolutions(module)
    return {name: Fisher(layers) if name == "fisher" else named(name) for name in FEATURES}


def scores_of(module: nn.Module, minibatch: Minibatch, proxies: Mapping[str, Proxy]) -> dict[str, float]:
    """The score by each of the proxies; those that read the same gradients share a pass."""
    found: dict[str, float] = {}
    fisher = proxies.get("fisher")
    if isinstance(fisher, Fisher) and fisher.layers is not None and proxies.keys() >= set(JOINT):
        found = joint_scores(module, fisher.layers, minibatch)
    return {name: found[name] if name in found else own.score(module, minibatch) for name, own in proxies.items()}
