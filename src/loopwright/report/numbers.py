"""Tables of numbers as CSV files: each lies beside the figure or table that is drawn from it."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from loopwright.report.summary import RunSummary

Cell = str | int | float | bool | None
Rows = Sequence[Mapping[str, Cell]]


def write_csv(path: Path, rows: Rows) -> None:
    """One line a row; the columns are those of the first row. An empty table gives an empty file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]) if rows else [])
        if rows:
            writer.writeheader()
            writer.writerows(rows)


def networks(summary: RunSummary) -> Rows:
    """Original and chosen network, with the median latency."""
    return [_network("original", summary), _network("chosen", summary)]


def layers(summary: RunSummary) -> Rows:
    """Every transformable layer, before and after."""
    return [asdict(layer) for layer in summary.layers]


def _network(name: str, summary: RunSummary) -> Mapping[str, Cell]:
    figures = summary.original if name == "original" else summary.chosen
    return {
        "network": name,
        "latency_ms": figures.latency_ms,
        "samples": len(figures.latency_samples_ms),
        "macs": figures.macs,
        "parameters": figures.parameters,
        "fisher_potential": figures.fisher_potential,
    }
