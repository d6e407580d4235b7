"""What candidates are compared by: how fast and small they are, and how much of their capacity or accuracy they keep.

>>> candidate = {"fisher": 0.75, "fisher_original": 0.5, "images": 16.0, "predicted_drop": 0.5}
>>> heights(candidate)
{'predicted_drop': 0.5, 'fisher_ratio': 1.5}
>>> title("fisher_ratio"), lower_is_better("fisher_ratio")
("Fisher Potential, ratio to the original's", False)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from loopwright.report.numbers import Cell
from loopwright.report.summary import PREDICTED_DROP

RATIO = "_ratio"
ORIGINAL_SCORE = "_original"
TITLES = {
    "latency_ms": "latency: sum over layers, ms",
    "macs": "MACs",
    "parameters": "parameters",
    PREDICTED_DROP: "predicted drop of accuracy, points",
}
WIDTHS = ("latency_ms", "macs", "parameters")
"""What candidates save; `heights` has what they keep."""

SCORES = {"fisher": "Fisher Potential"}


def title(quantity: str) -> str:
    """What an axis says."""
    if quantity.endswith(RATIO):
        score = quantity.removesuffix(RATIO)
        return f"{SCORES.get(score, score)}, ratio to the original's"
    return TITLES[quantity]


def lower_is_better(quantity: str) -> bool:
    """Everything but a ratio of scores is a cost."""
    return not quantity.endswith(RATIO)


def heights(scores: Mapping[str, float]) -> dict[str, float]:
    """Those scores that say what a candidate keeps: the predicted drop of accuracy first, then each score that has the
    original's beside it, as a ratio."""
    found = {PREDICTED_DROP: scores[PREDICTED_DROP]} if PREDICTED_DROP in scores else {}
    for name, score in scores.items():
        original = scores.get(name + ORIGINAL_SCORE)
        if original:
            found[name + RATIO] = score / original
    return found


def height_of_original(quantity: str) -> float:
    """The value of any quantity of `heights` for the original network."""
    return 0.0 if quantity == PREDICTED_DROP else 1.0


def known_heights(columns: Iterable[str]) -> list[str]:
    """Those of a table's columns that are quantities of `heights`, in order: the first is the one to show."""
    return [column for column in columns if column == PREDICTED_DROP or column.endswith(RATIO)]


def non_dominated(points: Sequence[tuple[Cell, Cell]], lower: bool) -> list[int]:
    """The indices of the points to which no other is better in one coordinate and no worse in the other, by x.

    Less of x is better; of y less if ``lower``, else more. Points with a missing coordinate are left out; of equal ones
    the first counts.

    >>> non_dominated([(3, 1), (1, 2), (2, 3), (2, 1), (None, 0)], lower=True)
    [1, 3]
    """
    sign = 1.0 if lower else -1.0
    known = [(float(x), sign * float(y), k) for k, (x, y) in enumerate(points) if x is not None and y is not None]
    found: list[int] = []
    best = float("inf")
    for _, y, k in sorted(known):
        if y < best:
            found.append(k)
            best = y
    return found
