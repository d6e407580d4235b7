"""How often each check is right on the ground truth: the paper's rule by every proxy, and the calibrated check on
recipes that it has not seen."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from loopwright.legality.capacity import CONFIDENCE, Table
from loopwright.legality.capacity.comparison import ROUNDING
from loopwright.legality.capacity.crossvalidation import Confusion, predictions
from loopwright.legality.proxies import registered
from scripts.ground_truth.scoring import read_scores

TOLERANCE = 1.0
"""Points of accuracy."""
LEAST_RECALL = 0.5
FIELDS = (
    "check", "images", "networks", "good", "accepted", "accepted_good", "precision", "precision_low", "precision_high",
    "recall", "recall_low", "recall_high", "hindsight_precision",
)  # fmt: skip


def crossvalidate(table: Table, scores: Path, images: int, out: Path) -> None:
    """Writes one line for each check. ``hindsight_precision`` is the highest that any threshold, chosen by looking at
    these networks, reaches at a recall of one half."""
    good = table.drops <= TOLERANCE
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(FIELDS)
        for name, count, accepted, order in _checks(table, scores, images):
            found = Confusion.of(accepted, good)
            precision = (found.precision, *found.precision_interval)
            figures = (*precision, found.recall, *found.recall_interval, hindsight(order, good))
            row = [name, count, found.networks, found.good, found.accepted, found.accepted_good]
            writer.writerow([*row, *(f"{figure:.4f}" for figure in figures)])


def _checks(table: Table, scores: Path, images: int) -> Iterator[tuple[str, int, np.ndarray, np.ndarray]]:
    """The name, the images looked at, what is accepted, and by what candidates are ordered."""
    chances = np.array([0.0 if found is None else found.probability(TOLERANCE) for found in predictions(table)])
    yield "calibrated", table.images, chances >= CONFIDENCE, chances
    said = read_scores(scores, images)
    for name in registered():
        original = said[table.original.id][name]
        values = np.array([said[own.id][name] for own in table.networks])
        yield name, images, values >= original - ROUNDING * abs(original), values
    yield "everything", 0, np.ones(len(table.networks), bool), np.zeros(len(table.networks))


def hindsight(order: np.ndarray, good: np.ndarray, least: float = LEAST_RECALL) -> float:
    """The highest precision at that recall among all thresholds on ``order`` (networks,)."""
    rules = (Confusion.of(order >= threshold, good) for threshold in _distinct(order))
    return max((rule.precision for rule in rules if rule.recall >= least), default=float("nan"))


def _distinct(order: np.ndarray) -> Iterable[float]:
    found: list[float] = np.unique(order).tolist()
    return found
