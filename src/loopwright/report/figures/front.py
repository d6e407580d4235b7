"""The front: what candidates keep against how fast they are."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from html import escape
from typing import Any

import plotly.graph_objects as go

from loopwright.report import candidates, formats, quantities
from loopwright.report.figure import CHOSEN, INK, ORIGINAL, OTHER, Figure, style
from loopwright.report.numbers import Cell, Rows

LOOKS: dict[str, dict[str, Any]] = {
    candidates.REJECTED: {"color": "#fca5a5", "symbol": "x-thin", "line": {"color": "#dc2626", "width": 1}},
    candidates.WAITING: {"color": "#bfdbfe", "opacity": 0.8, "line": {"color": "#2563eb", "width": 0.8}},
    candidates.TIMED: {"color": OTHER, "opacity": 0.85, "line": {"color": CHOSEN, "width": 1}},
    candidates.CHOSEN: {"color": CHOSEN, "symbol": "star", "opacity": 1, "line": {"color": "white", "width": 1}},
    candidates.ORIGINAL: {"color": ORIGINAL, "symbol": "diamond", "opacity": 1, "line": {"color": INK, "width": 1}},
}
SMALLEST, LARGEST = 6.0, 20.0
SHOWN, WIDTH = 4, 70


def draw(rows: Rows) -> go.Figure:
    """Points by status over the joined front; a point's area grows with its parameters. The page's script moves the
    same traces to other quantities, by ``customdata``, each point's row, and ``meta``, the trace's part."""
    height = quantities.known_heights(rows[0])[0]
    front = sorted((row for row in rows if row["on_front"]), key=lambda row: row["latency_ms"] or 0)
    line = go.Scatter(
        x=[row["latency_ms"] for row in front],
        y=[row[height] for row in front],
        mode="lines",
        name="not dominated",
        meta="front",
        line={"color": CHOSEN, "width": 1.5, "dash": "dot"},
        hoverinfo="skip",
    )
    ring = go.Scatter(
        x=[],
        y=[],
        mode="markers",
        name="shown below",
        meta="ring",
        marker={"symbol": "circle-open", "size": LARGEST + 8, "color": INK, "line": {"width": 2}},
        hoverinfo="skip",
        showlegend=False,
    )
    present = [status for status in LOOKS if any(row["status"] == status for row in rows)]
    drawing = go.Figure([line, *(_points(rows, status, height) for status in present), ring])
    drawing.add_hline(y=quantities.height_of_original(height), line={"color": ORIGINAL, "width": 1}, layer="below")
    drawing.update_layout(hovermode="closest", clickmode="event")
    return style(drawing, 460, quantities.title("latency_ms"), quantities.title(height))


def _points(rows: Rows, status: str, height: str) -> go.Scatter:
    most = max(float(row["parameters"] or 0) for row in rows)
    own = [(index, row) for index, row in enumerate(rows) if row["status"] == status]
    return go.Scatter(
        x=[row["latency_ms"] for _, row in own],
        y=[row[height] for _, row in own],
        mode="markers",
        name=status,
        meta=status,
        marker={**LOOKS[status], "size": [_size(row, most) for _, row in own]},
        customdata=[index for index, _ in own],
        text=[hover(row) for _, row in own],
        hovertemplate="%{text}<extra></extra>",
    )


def _size(row: Mapping[str, Cell], most: float) -> float:
    """The diameter in pixels; the star and the diamond look smaller than they are."""
    share = float(row["parameters"] or 0) / most if most else 0.0
    diameter = SMALLEST + (LARGEST - SMALLEST) * math.sqrt(share)
    return round(diameter * (1.3 if row["status"] in (candidates.CHOSEN, candidates.ORIGINAL) else 1), 1)


def hover(row: Mapping[str, Cell]) -> str:
    """What a candidate shows when it is pointed at: lines of HTML."""
    heights = [f"{quantities.title(name)}: <b>{_height(row[name])}</b>" for name in quantities.known_heights(row)]
    latency, network = (formats.milliseconds(row[name]) for name in ("latency_ms", "network_latency_ms"))  # type: ignore[arg-type]
    lines = [
        f"<b>{candidates.label(int(row['candidate'] or 0))}</b>, {escape(str(row['status']))}",
        ("not timed" if latency == "-" else f"layers: <b>{latency}</b> ms")
        + (f", whole network: <b>{network}</b> ms" if network != "-" else ""),
        f"{formats.count(int(row['macs'] or 0))} MACs, {formats.count(int(row['parameters'] or 0))} parameters",
        *heights,
        *([f"stopped: {escape(str(row['reason']))}"] if row["reason"] else []),
        *_changes(row),
    ]
    return "<br>".join(lines)


def _changes(row: Mapping[str, Cell]) -> list[str]:
    """What was done to the layers: families, then the most frequent sequences."""
    if not row["changed_layers"]:
        return []
    sequences = str(row["sequences"]).split("; ") if row["sequences"] else []
    more = [f"and {len(sequences) - SHOWN} more"] if len(sequences) > SHOWN else []
    families = textwrap.wrap(f"{row['changed_layers']} layers changed: {row['families']}", WIDTH)
    return [escape(line) for line in (*families, *map(_sequence, sequences[:SHOWN]), *more)]


def _sequence(counted: str) -> str:
    """``grouped(2) ×8`` with the number first, and no longer than a line."""
    sequence, _, number = counted.rpartition(" ×")
    return f"{number} × {textwrap.shorten(sequence, WIDTH, placeholder=' ...')}"


def _height(value: Cell) -> str:
    return "-" if value is None else formats.significant(float(value))


FIGURE = Figure(
    name="front",
    position=2,
    title="The front",
    caption="Each point is one configuration of the network; the larger, the more parameters. Latencies are sums over "
    "the layers' operators, timed alone, for the original too. Candidates that were not timed have none: take MACs or "
    "parameters as the horizontal axis to see them.",
    numbers=candidates.candidates,
    draw=draw,
)
