"""From the ground truth to the table that the calibrated check learns from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import sqrt
from pathlib import Path
from statistics import mean, variance

from loopwright.legality import capacity
from loopwright.legality.capacity import Table, Trained
from loopwright.legality.capacity.table import SHIPPED as NAME
from scripts.ground_truth.results import Row, accuracies
from scripts.ground_truth.scoring import read_scores
from scripts.ground_truth.specs import Spec

SHIPPED = Path(capacity.__file__).with_name(NAME)
REASONABLE = 5.0
"""Networks that lose more points say nothing of the noise of good ones."""


def calibration_table(
    specs: Sequence[Spec], rows: Iterable[Row], scores: Path, images: int, legal: bool = True
) -> Table:
    """The first spec is the original's. Accuracies with mirrored images, averaged over seeds; with ``legal``, without
    the networks that the structural check rejects."""
    trained = accuracies(rows)
    said = read_scores(scores, images)
    best = mean(trained[specs[0].id])
    deviation = seed_deviation(trained.values(), best)
    known = [
        Trained(
            spec.id,
            frozenset(spec.families),
            best - mean(trained[spec.id]),
            deviation / sqrt(len(trained[spec.id])),
            said[spec.id],
        )
        for spec in specs
        if spec.id in trained and spec.id in said and not (legal and spec.structure)
    ]
    return Table(known[0], tuple(known[1:]), images)


def seed_deviation(accuracies: Iterable[Sequence[float]], best: float) -> float:
    """The standard deviation of one network's accuracy over seeds in points, pooled over those trained repeatedly."""
    repeated = [own for own in accuracies if len(own) > 1 and best - mean(own) < REASONABLE]
    return sqrt(sum((len(own) - 1) * variance(own) for own in repeated) / sum(len(own) - 1 for own in repeated))
