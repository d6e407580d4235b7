"""The sequential Fisher check: a candidate is scored on more and more images until it is clear on which side it falls.

A network's Fisher Potential on a minibatch is a mean over its images, so a few images estimate it. With q_n the square
sums of equation 4 for the loss of image n alone, a part of N images has the score sum_n q_n / (2 N^3); parts scored one
by one are pooled as the sum of N^3 times their scores. Held against the original on the same images, the logarithm

    y = log(pooled score of the candidate / pooled score of the original)

differs from that of the scores on all images at once, y*, by an offset that all candidates share (the original's own
error, and that of batch norms that see few images) and by a noise that falls with the number n of images like
c / sqrt(n). A panel of candidates that are scored on all images at once tells both: the offset of a stage is the
panel's mean of y - y*, and c^2 the variance around it, pooled over the stages. A panel of seven knows c to a quarter
only, so what was measured elsewhere (`USUAL_NOISE`) has as much weight as the panel. A stage decides where |y - offset|
is at least ``confidence`` standard deviations of the noise; the last stage, which has seen all images, always decides.
This is a truncated sequential test with a normal error (Wald, 1945).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, isfinite, log

import numpy as np

from loopwright.legality.capacity.comparison import exact_verdict
from loopwright.legality.proxies.fisher import TITLE
from loopwright.legality.verdict import Verdict

Score = Callable[[int, int], float]
"""Fisher Potential on the images of the minibatch from one number up to another."""

CHECK = "fisher"
FIRST_STAGES = (8, 32)
"""Images looked at by the end of the first stages; two more end at half of the minibatch and at all of it."""
LEAST_IMAGES = 32
"""A smaller minibatch is scored at once."""
CONFIDENCE = 1.0
USUAL_NOISE = 0.4
"""c of 280 candidates of ResNet-34 on CIFAR-10, of five seeds: 0.33 to 0.42, by stage and arithmetic."""
PANEL = 7
"""Candidates that are scored on all images at once, so that the offsets are known to 0.4 of one candidate's noise."""
LEAST_PANEL = 3


@dataclass(frozen=True)
class Protocol:
    """How a verdict comes about, but for network, candidate and images. ``stages`` are the numbers of images looked at
    by the end of each stage (none: all images at once); the ``panel`` is drawn with ``seed``."""

    stages: tuple[int, ...] = ()
    confidence: float = CONFIDENCE
    panel: int = PANEL
    seed: int = 0
    arithmetic: str = "float32"

    @classmethod
    def of(cls, images: int, seed: int, arithmetic: str = "float32") -> Protocol:
        """The stages for a minibatch of that size; there are none for a small one."""
        if images < LEAST_IMAGES:
            return EXACT
        first = (stage for stage in FIRST_STAGES if stage < images // 2)
        return cls((*first, images // 2, images), seed=seed, arithmetic=arithmetic)

    @property
    def parts(self) -> tuple[tuple[int, int], ...]:
        """The images that each stage adds, from and up to."""
        return tuple(pairwise((0, *self.stages)))

    @property
    def scored(self) -> str:
        """What the scores of the stages depend on, as text."""
        stages = ", ".join(map(str, self.stages))
        return f"{stages} images in {self.arithmetic}" if self.stages else "all images"

    def __str__(self) -> str:
        if not self.stages:
            return self.scored
        test = f"confidence {self.confidence:g}, usual noise {USUAL_NOISE:g}"
        return f"{self.scored}, {test}, panel of {self.panel} with seed {self.seed}"


EXACT = Protocol()
"""Everything is scored on all images."""


@dataclass(frozen=True)
class Evidence:
    """What is known of one network: its score on all images, and those pooled over the parts up to each stage."""

    exact: float
    pooled: tuple[float, ...] = ()

    @classmethod
    def of(cls, protocol: Protocol, exact: float, score: Score) -> Evidence:
        """``score`` is asked for every part of the protocol."""
        parts = [_weighted(score, part) for part in protocol.parts]
        return cls(exact, tuple(np.cumsum(parts).tolist()))

    @classmethod
    def from_scores(cls, protocol: Protocol, scores: Mapping[str, float]) -> Evidence:
        """What `scores` gave."""
        return cls(scores[CHECK], tuple(scores[f"pooled_{stage}"] for stage in protocol.stages))

    def scores(self, protocol: Protocol) -> dict[str, float]:
        """As they stand in a verdict."""
        pooled = zip(protocol.stages, self.pooled, strict=True)
        return {CHECK: self.exact, **{f"pooled_{stage}": score for stage, score in pooled}}

    @property
    def usable(self) -> bool:
        """Whether all scores have a logarithm."""
        return all(isfinite(score) and score > 0 for score in (self.exact, *self.pooled))


@dataclass(frozen=True)
class SequentialTest:
    """Holds candidates against the ``original``. For each stage of the protocol there is an offset, and a threshold
    from which on y less the offset decides."""

    protocol: Protocol
    images: int
    original: Evidence
    offsets: tuple[float, ...] = ()
    thresholds: tuple[float, ...] = ()

    @classmethod
    def on_all_images(cls, images: int, original: float) -> SequentialTest:
        """The test without stages, against the original's score."""
        return cls(EXACT, images, Evidence(original))

    @classmethod
    def calibrated(
        cls, protocol: Protocol, images: int, original: Evidence, panel: Sequence[Evidence]
    ) -> SequentialTest:
        """The test for candidates like those of the ``panel``. Where less than three of them have scores, or all have
        none but the original's, there is nothing to calibrate by and every candidate is scored on all images."""
        usable = [own for own in panel if own.usable]
        if not protocol.stages or not original.usable or len(usable) < LEAST_PANEL:
            return cls.on_all_images(images, original.exact)
        errors = np.array([_ratios(own, original) for own in usable])  # (panel, stages)
        stages = np.array(protocol.stages[:-1])
        variance = (USUAL_NOISE**2 + (errors[:, :-1].var(0, ddof=1) * stages).mean()) / 2  # of one image
        noise = np.sqrt(variance * (1 + 1 / len(usable)) / stages)
        thresholds = (*(protocol.confidence * noise).tolist(), 0.0)
        return cls(protocol, images, original, tuple(errors.mean(0).tolist()), thresholds)

    def judge(self, score: Score) -> Verdict:
        """Legal if the score on all images is, or is estimated to be, not below the original's. The scores hold both
        for all images, and of how many images they are known."""
        pooled = 0.0
        for part, original, offset, threshold in zip(
            self.protocol.parts, self.original.pooled, self.offsets, self.thresholds, strict=True
        ):
            pooled += _weighted(score, part)
            if not isfinite(pooled) or pooled <= 0:
                break
            ratio = log(pooled / original) - offset
            if abs(ratio) >= threshold:
                return self._estimated(ratio, part[1])
        return exact_verdict(CHECK, TITLE, score(0, self.images), self.original.exact, self.images)

    def _estimated(self, ratio: float, images: int) -> Verdict:
        estimate = self.original.exact * exp(min(ratio, 700.0))
        scores = {CHECK: estimate, f"{CHECK}_original": self.original.exact, "images": images}
        compared = f"{TITLE} about {estimate:.3g} against the original's {self.original.exact:.3g}"
        reason = f"{compared}, by {images} of {self.images} images{'' if ratio >= 0 else ': below'}"
        return Verdict(ratio >= 0, CHECK, reason, scores=scores)


def _weighted(score: Score, part: tuple[int, int]) -> float:
    """A part's score times the cube of its size."""
    return (part[1] - part[0]) ** 3 * score(*part)


def _ratios(own: Evidence, original: Evidence) -> list[float]:
    """For each stage, by how much y differs from that on all images."""
    exact = log(own.exact / original.exact)
    return [log(a / b) - exact for a, b in zip(own.pooled, original.pooled, strict=True)]
