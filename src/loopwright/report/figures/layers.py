"""Every transformable layer, before and after."""

from __future__ import annotations

import textwrap
from html import escape

import plotly.graph_objects as go

from loopwright.report.figure import CHOSEN, ORIGINAL, Figure, style
from loopwright.report.numbers import Rows, layers

WIDTH = 60


def draw(rows: Rows) -> go.Figure:
    """Two bars a layer. The page's script shows other candidates and other figures by ``meta``, the bars' part."""
    drawing = go.Figure(
        [
            _bars(rows, "original", "latency_before_ms", ORIGINAL),
            _bars(rows, "chosen", "latency_after_ms", CHOSEN),
        ]
    )
    drawing.update_layout(barmode="group", bargap=0.3)
    style(drawing, 400, "", "latency, ms")
    drawing.update_yaxes(rangemode="tozero")
    return drawing.update_xaxes(tickangle=-60, showgrid=False, type="category", tickfont={"size": 11})


def _bars(rows: Rows, name: str, column: str, colour: str) -> go.Bar:
    return go.Bar(
        x=[row["name"] for row in rows],
        y=[row[column] for row in rows],
        customdata=[_sequence(str(row["sequence"]) if name == "chosen" else "untransformed") for row in rows],
        name=name,
        meta=name,
        marker={"color": colour},
        hovertemplate="<b>%{x}</b><br>%{y:.4~g}<br>%{customdata}<extra>%{fullData.name}</extra>",
    )


def _sequence(text: str) -> str:
    return "<br>".join(escape(line) for line in textwrap.wrap(text, WIDTH))


FIGURE = Figure(
    name="layers",
    position=3,
    title="Layer by layer",
    caption="Each layer's operator alone; latencies with cold weights.",
    numbers=layers,
    draw=draw,
)
