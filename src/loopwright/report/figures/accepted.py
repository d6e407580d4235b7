"""The candidates that every check accepted: predicted latency against Fisher Potential."""

from __future__ import annotations

import plotly.graph_objects as go

from loopwright.report.figure import CHOSEN, ORIGINAL, OTHER, Figure, style
from loopwright.report.numbers import Rows
from loopwright.report.summary import RunSummary

LOOKS = {
    "accepted": {"color": OTHER, "size": 8, "opacity": 0.8, "line": {"color": CHOSEN, "width": 0.8}},
    "chosen": {"color": CHOSEN, "size": 16, "symbol": "star"},
}


def numbers(summary: RunSummary) -> Rows:
    """One row a candidate, with the original's score, which is the threshold."""
    return [
        {
            "candidate": "chosen" if point.chosen else "accepted",
            "predicted_latency_ms": point.predicted_latency_ms,
            "fisher_potential": point.fisher_potential,
            "threshold": summary.original.fisher_potential,
        }
        for point in summary.accepted
    ]


def draw(rows: Rows) -> go.Figure:
    """A scatter over the threshold as a line."""
    drawing = go.Figure([_points(rows, candidate) for candidate in LOOKS])
    line = {"color": ORIGINAL, "dash": "dash", "width": 1.5}
    drawing.add_hline(y=rows[0]["threshold"], line=line, name="the original's score", showlegend=True, layer="below")
    drawing.update_yaxes(tickformat=".1e")
    return style(drawing, 400, "predicted latency: sum over layers, ms", "Fisher Potential")


def _points(rows: Rows, candidate: str) -> go.Scatter:
    own = [row for row in rows if row["candidate"] == candidate]
    return go.Scatter(
        x=[row["predicted_latency_ms"] for row in own],
        y=[row["fisher_potential"] for row in own],
        mode="markers",
        name=candidate,
        marker=LOOKS[candidate],
        hovertemplate="%{x:.3f} ms<br>Fisher %{y:.3g}<extra>" + candidate + "</extra>",
    )


FIGURE = Figure(
    name="accepted",
    position=2,
    title="Accepted candidates",
    caption="Each point is one configuration of the network that kept its receptive field and scored no lower than "
    "the original. The chosen one was the fastest of the leading ones as a whole network.",
    numbers=numbers,
    draw=draw,
)
