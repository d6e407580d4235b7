"""The latency of every transformable layer, before and after."""

from __future__ import annotations

import plotly.graph_objects as go

from loopwright.report.figure import CHOSEN, ORIGINAL, Figure, style
from loopwright.report.numbers import Rows
from loopwright.report.summary import RunSummary


def numbers(summary: RunSummary) -> Rows:
    """One row a layer whose operator was timed."""
    return [
        {
            "layer": layer.name,
            "sequence": layer.sequence,
            "latency_before_ms": layer.latency_before_ms,
            "latency_after_ms": layer.latency_after_ms,
        }
        for layer in summary.layers
        if layer.latency_before_ms is not None and layer.latency_after_ms is not None
    ]


def draw(rows: Rows) -> go.Figure:
    """Two bars a layer."""
    drawing = go.Figure(
        [
            _bars(rows, "original", "latency_before_ms", ORIGINAL),
            _bars(rows, "chosen", "latency_after_ms", CHOSEN),
        ]
    )
    drawing.update_layout(barmode="group", bargap=0.3)
    drawing.update_xaxes(tickangle=-60, showgrid=False)
    return style(drawing, 380, "", "latency, ms")


def _bars(rows: Rows, name: str, column: str, colour: str) -> go.Bar:
    return go.Bar(
        x=[row["layer"] for row in rows],
        y=[row[column] for row in rows],
        customdata=[row["sequence"] if name == "chosen" else "untransformed" for row in rows],
        name=name,
        marker={"color": colour},
        hovertemplate="<b>%{x}</b><br>%{y:.4f} ms<br>%{customdata}<extra>" + name + "</extra>",
    )


FIGURE = Figure(
    name="layers",
    position=3,
    title="Layer by layer",
    caption="Each layer's operator timed alone with cold weights.",
    numbers=numbers,
    draw=draw,
)
