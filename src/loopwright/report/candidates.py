"""All candidates of a run as one table: what the front is drawn from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from loopwright.report import quantities
from loopwright.report.families import UNCHANGED
from loopwright.report.numbers import Cell, Rows
from loopwright.report.summary import IDENTITY, CandidateFigures, RunSummary

ORIGINAL, CHOSEN, TIMED, WAITING, REJECTED = "original", "chosen", "timed", "accepted, not timed", "rejected"
STATUSES = (CHOSEN, TIMED, WAITING, REJECTED)
SHOWN = (CHOSEN, TIMED)
"""Of candidates with these statuses the layers are known."""


def candidates(summary: RunSummary) -> Rows:
    """One row a candidate, the original first, as number 0; ``family`` is the one of most of its changed layers.

    ``on_front`` marks the legal ones that no other dominates in latency and the first quantity of `quantities.heights`.
    """
    columns = _heights(summary)
    rows = [_original(summary, columns), *(_candidate(summary, candidate, columns) for candidate in summary.candidates)]
    if not columns:
        return []
    height = columns[0]
    points = [(None, None) if row["status"] == REJECTED else (row["latency_ms"], row[height]) for row in rows]
    front = set(quantities.non_dominated(points, quantities.lower_is_better(height)))
    return [{**row, "on_front": index in front} for index, row in enumerate(rows)]


def _heights(summary: RunSummary) -> list[str]:
    """Every quantity that a candidate has, the preferred one first."""
    found = {name for candidate in summary.candidates for name in quantities.heights(candidate.scores)}
    return sorted(found, key=lambda name: (name.endswith(quantities.RATIO), name != "fisher_ratio", name))


def _original(summary: RunSummary, columns: list[str]) -> dict[str, Cell]:
    latencies = [layer.latency_before_ms for layer in summary.layers]
    known = [latency for latency in latencies if latency is not None]
    return {
        "candidate": 0,
        "status": ORIGINAL,
        "reason": "",
        "family": UNCHANGED,
        "changed_layers": 0,
        "families": "",
        "sequences": "",
        "latency_ms": sum(known) if len(known) == len(latencies) else None,
        "network_latency_ms": summary.original.latency_ms,
        "macs": summary.original.macs,
        "parameters": summary.original.parameters,
        **{column: quantities.height_of_original(column) for column in columns},
    }


def _candidate(summary: RunSummary, candidate: CandidateFigures, columns: list[str]) -> dict[str, Cell]:
    heights = quantities.heights(candidate.scores)
    return {
        "candidate": candidate.number,
        "status": status(candidate),
        "reason": candidate.reason,
        "family": next(iter(candidate.families), UNCHANGED),
        "changed_layers": sum(candidate.families.values()),
        "families": _times(candidate.families),
        "sequences": _times(_sequences(summary, candidate)),
        "latency_ms": candidate.latency_ms,
        "network_latency_ms": candidate.network_latency_ms,
        "macs": candidate.macs,
        "parameters": candidate.parameters,
        **{column: heights.get(column) for column in columns},
    }


def _sequences(summary: RunSummary, candidate: CandidateFigures) -> dict[str, int]:
    """How many layers take each sequence, by the recipe's name where it has one, the most frequent first."""
    chosen = [summary.operators[index] for index in candidate.operators]
    changed = [operator for operator in chosen if operator.sequence != IDENTITY]
    return dict(Counter(operator.name or operator.sequence for operator in changed).most_common())


def _times(counts: Mapping[str, int]) -> str:
    """``group ×3; bottleneck ×1``."""
    return "; ".join(f"{name} ×{count}" for name, count in counts.items())


def status(candidate: CandidateFigures) -> str:
    """How far the candidate came, in one of the words above."""
    if candidate.chosen:
        return CHOSEN
    if not candidate.accepted:
        return REJECTED
    return TIMED if candidate.operators else WAITING


def label(number: int) -> str:
    """What a candidate is called.

    >>> label(0), label(12)
    ('original', 'candidate 12')
    """
    return f"candidate {number}" if number else ORIGINAL
