"""Tables of numbers as CSV files: each lies beside the figure or table that is drawn from it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from loopwright.files import write_atomically
from loopwright.report.summary import RunSummary

Cell = str | int | float | bool | None
Rows = Sequence[Mapping[str, Cell]]


def to_csv(rows: Rows) -> str:
    """One line a row; the columns are those of the first row. An empty table gives an empty text."""
    written = io.StringIO(newline="")
    writer = csv.DictWriter(written, fieldnames=list(rows[0]) if rows else [])
    if rows:
        writer.writeheader()
        writer.writerows(rows)
    return written.getvalue()


def write_csv(path: Path, rows: Rows) -> None:
    """Writes `to_csv` into a file."""
    write_atomically(path, to_csv(rows))


def networks(summary: RunSummary) -> Rows:
    """Original and chosen network, with the median latency."""
    return [_network("original", summary), _network("chosen", summary)]


def layers(summary: RunSummary) -> Rows:
    """Every transformable layer, before and after."""
    return [asdict(layer) for layer in summary.layers]


def funnel(summary: RunSummary) -> Rows:
    """One row a stage that was reached, and one a reason for which candidates did not reach it."""
    rows: list[Mapping[str, Cell]] = []
    for stage in summary.funnel:
        rows.append({"stage": stage.name, "candidates": stage.count, "stopped_by": ""})
        rows += [{"stage": stage.name, "candidates": one.count, "stopped_by": one.reason} for one in stage.rejections]
    return rows


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
