"""Every end-to-end latency sample of both networks."""

from __future__ import annotations

import plotly.graph_objects as go

from loopwright.report.figure import CHOSEN, ORIGINAL, Figure, style
from loopwright.report.numbers import Rows
from loopwright.report.summary import RunSummary


def numbers(summary: RunSummary) -> Rows:
    """One row a sample."""
    both = (("original", summary.original), ("chosen", summary.chosen))
    return [
        {"network": name, "sample": index, "latency_ms": latency_ms}
        for name, figures in both
        for index, latency_ms in enumerate(figures.latency_samples_ms)
    ]


def draw(rows: Rows) -> go.Figure:
    """A box and all points for each network."""
    drawing = go.Figure([_box(rows, "chosen", CHOSEN), _box(rows, "original", ORIGINAL)])
    drawing.update_layout(showlegend=False)
    drawing.update_xaxes(rangemode="tozero")
    return style(drawing, 220, "latency, ms", "")


def _box(rows: Rows, network: str, colour: str) -> go.Box:
    samples = [row["latency_ms"] for row in rows if row["network"] == network]
    return go.Box(
        x=samples,
        y=[f"{network} "] * len(samples),
        orientation="h",
        boxpoints="all",
        jitter=0.6,
        pointpos=0,
        line={"color": colour, "width": 1.5},
        fillcolor="rgba(0,0,0,0)",
        marker={"color": colour, "opacity": 0.55, "size": 5},
        hovertemplate="%{x:.3f} ms<extra></extra>",
    )


FIGURE = Figure(
    name="latency",
    position=1,
    title="Latency of the whole network",
    caption="Every sample, taken interleaved in the same run.",
    numbers=numbers,
    draw=draw,
)
