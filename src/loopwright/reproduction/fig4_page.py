"""Figure 4 as a table for a terminal and as a page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import plotly.graph_objects as go
from rich import box
from rich.table import Table

from loopwright.report import formats
from loopwright.report.figure import CHOSEN, ORIGINAL, style
from loopwright.report.numbers import Cell, Rows
from loopwright.report.sheet import Plate, write_sheet
from loopwright.reproduction.fig4 import NUMBERS, TRAININGS, Request

PAGE = "fig4.html"
HEADINGS = (
    "network", "latency, ms", "speed-up", "paper", "over stock", "MACs", "parameters", "accuracy, %", "loss",
    "inherited, %",
)  # fmt: skip


def table(rows: Rows) -> Table:
    """One row a network."""
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in HEADINGS:
        drawn.add_column(heading, justify="left" if heading == "network" else "right", no_wrap=True)
    for row in rows:
        drawn.add_row(*cells(row))
    return drawn


def cells(row: Mapping[str, Cell]) -> list[str]:
    """A row under `HEADINGS`; what is not known is empty."""
    spread = _text(row["accuracy_sd"], " ± {:.2f}")
    begun = _text(row["inherited_accuracy"], "{:.2f}") + _text(row["inherited_epochs"], " after {} epochs")
    return [
        str(row["network"]),
        _text(row["latency_ms"], "{:.2f}"),
        _text(row["speedup"], "{:.2f}×"),
        _text(row["paper"], "{:.3g}×"),
        _text(row["speedup_over_stock"], "{:.2f}×"),
        formats.count(int(row["macs"] or 0)),
        formats.count(int(row["parameters"] or 0)),
        _text(row["accuracy"], "{:.2f}") + spread,
        _text(row["loss"] if row["network"] != row["model"] else None, "{:+.2f}"),
        begun,
    ]


def _text(value: Cell, form: str) -> str:
    return "" if value is None else form.format(value)


def write_page(rows: Rows, request: Request) -> Path:
    """Writes ``fig4.html`` beside the CSV files; its path."""
    chosen = [row for row in rows if row["paper"] is not None or row["network"] != row["model"]]
    plates = [
        Plate(
            "Speed-up over the original",
            "Latencies of one run for each original, batch 1, float32, all compiled by Loopwright; the paper's are "
            "over TVM on its own processor.",
            NUMBERS,
            _speedups(chosen),
        ),
        Plate(
            "Accuracy against latency",
            "Every network after training from scratch by one schedule; whiskers are standard deviations over seeds.",
            NUMBERS,
            _accuracies(rows),
        ),
    ]
    lead = f"Networks chosen by Loopwright beside their originals. Trainings: {TRAININGS}."
    write_sheet(request.out / PAGE, "Figure 4: faster, and as accurate", lead, plates)
    return request.out / PAGE


def _speedups(chosen: Rows) -> go.Figure:
    names = [str(row["network"]) for row in chosen]
    bars = [
        go.Bar(y=names, x=[row[column] for row in chosen], name=name, marker_color=colour, orientation="h")
        for column, name, colour in (("paper", "the paper", ORIGINAL), ("speedup", "Loopwright", CHOSEN))
    ]
    drawing = style(go.Figure(bars), 120 + 60 * len(names), "times faster than the original", "")
    return drawing.update_yaxes(autorange="reversed")


def _accuracies(rows: Rows) -> go.Figure:
    known = [row for row in rows if row["latency_ms"] is not None and row["accuracy"] is not None]
    parts = [
        ("originals", ORIGINAL, [row for row in known if row["network"] == row["model"]]),
        ("chosen", CHOSEN, [row for row in known if row["network"] != row["model"]]),
    ]
    points = [
        go.Scatter(
            x=[row["latency_ms"] for row in part],
            y=[row["accuracy"] for row in part],
            error_y={"array": [row["accuracy_sd"] or 0 for row in part]},
            text=[row["network"] for row in part],
            mode="markers+text",
            textposition="bottom center",
            name=name,
            marker={"color": colour, "size": 10},
        )
        for name, colour, part in parts
    ]
    return style(go.Figure(points), 420, "latency, ms", "top-1 accuracy, %").update_xaxes(type="log")
