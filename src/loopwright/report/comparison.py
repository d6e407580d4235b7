"""The table that a run is about: the original network against the chosen one, line by line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import nan

from loopwright.report import formats
from loopwright.report.summary import PREDICTED_DROP, RunSummary

SAME = "the same"


@dataclass(frozen=True)
class Line:
    """One quantity of both networks, formatted."""

    quantity: str
    original: str
    chosen: str
    change: str


def comparison(summary: RunSummary) -> tuple[Line, ...]:
    """Latency, MACs, parameters and Fisher Potential of both networks, and the drop of accuracy where one was predicted
    for the chosen one; changes are original over chosen."""
    original, chosen = summary.original, summary.chosen
    return (
        Line(
            "latency, ms",
            formats.milliseconds(original.latency_ms),
            formats.milliseconds(chosen.latency_ms),
            _fewer(original.latency_ms, chosen.latency_ms, "faster"),
        ),
        _count_line("MACs", original.macs, chosen.macs),
        _count_line("parameters", original.parameters, chosen.parameters),
        Line(
            "Fisher Potential",
            formats.score(original.fisher_potential),
            formats.score(chosen.fisher_potential),
            _score_change(original.fisher_potential, chosen.fisher_potential),
        ),
        *_predicted(summary),
    )


def _predicted(summary: RunSummary) -> Iterator[Line]:
    for candidate in summary.candidates:
        if candidate.chosen and PREDICTED_DROP in candidate.scores:
            drop, low, high = (candidate.scores.get(f"{PREDICTED_DROP}{end}", nan) for end in ("", "_low", "_high"))
            yield Line("predicted drop, points", "-", f"{drop:.1f}", f"{low:.1f} to {high:.1f}")


def _count_line(quantity: str, before: int, after: int) -> Line:
    return Line(quantity, formats.count(before), formats.count(after), _fewer(before, after, "fewer"))


def _fewer(before: float, after: float, word: str) -> str:
    return SAME if before == after else f"{formats.ratio(before, after)} {word}"


def _score_change(before: float, after: float) -> str:
    if before == after:
        return SAME
    return f"{(after / before - 1) * 100:+.1f} %" if before else "-"
