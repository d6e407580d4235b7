"""How Figure 3 is drawn, from nothing but its rows."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite, log10

import plotly.graph_objects as go

from loopwright.report.figure import CHOSEN, GRID, ORIGINAL, style
from loopwright.report.numbers import Cell, Rows
from loopwright.reproduction.fig3 import EVERYTHING, TOP_QUARTER

TRIVIAL = ("macs", "parameters", EVERYTHING)
Row = Mapping[str, Cell]


def scatter(cells: Rows) -> go.Figure:
    """Final error against Fisher Potential, a point a cell; the colour is the number of parameters. Cells without a
    score, which the logarithmic axis can't show, stand at the left edge."""
    scored = [row for row in cells if _number(row, "fisher") > 0]
    least = min((_number(row, "fisher") for row in scored), default=1.0)
    edge = 10 ** (log10(least) - 0.6)
    unscored = [row for row in cells if not _number(row, "fisher") > 0]
    drawing = go.Figure([_points(scored, [_number(row, "fisher") for row in scored], "circle", "cells")])
    if unscored:
        drawing.add_trace(_points(unscored, [edge] * len(unscored), "x-thin-open", "cells that score 0 or no number"))
    drawing.update_traces(marker_colorscale="Viridis", marker_reversescale=True)
    drawing.update_xaxes(type="log", exponentformat="power", dtick=1)
    drawing = style(drawing, 460, "Fisher Potential", "error on CIFAR-10 after 200 epochs, %")
    return drawing.update_layout(legend={"y": 1.02}, margin={"r": 90})


def correlations(summary: Rows) -> go.Figure:
    """Spearman's and Kendall's rank correlation of every proxy, with intervals."""
    rows = [row for row in reversed(summary) if isfinite(_number(row, "spearman"))]
    drawing = go.Figure(
        [
            _intervals(rows, "kendall", "Kendall's tau", ORIGINAL, "circle-open"),
            _intervals(rows, "spearman", "Spearman's rho", CHOSEN, "circle"),
        ]
    )
    drawing.add_vline(x=0, line={"color": GRID, "width": 2}, layer="below")
    return style(drawing, 90 + 34 * len(rows), "rank correlation with accuracy", "")


def precisions(rules: Rows) -> go.Figure:
    """Precision and recall of the rule for all originals of the top quarter, with the precision of accepting all."""
    rows = [row for row in rules if row["original"] == TOP_QUARTER]
    rows = sorted(rows, key=lambda row: _number(row, "precision") if isfinite(_number(row, "precision")) else -1.0)
    drawing = go.Figure(
        [
            _intervals(rows, "recall", "recall: part of the legal that is accepted", ORIGINAL, "circle-open"),
            _intervals(rows, "precision", "precision: part of the accepted that is legal", CHOSEN, "circle"),
        ]
    )
    base = _number(rows[0], "base")
    line = {"color": ORIGINAL, "dash": "dash", "width": 1.5}
    drawing.add_vline(x=base, line=line, name="precision of accepting everything", showlegend=True, layer="below")
    drawing.update_xaxes(tickformat=".0%", range=[-0.02, 1.02])
    return style(drawing, 90 + 34 * len(rows), "over all candidates", "")


def _points(rows: Rows, x: list[float], symbol: str, name: str) -> go.Scattergl:
    return go.Scattergl(
        x=x,
        y=[100 - _number(row, "accuracy") for row in rows],
        mode="markers",
        name=name,
        text=[str(row["cell"]) for row in rows],
        marker={
            "color": [_number(row, "parameters") / 1e6 for row in rows],
            "cmin": 0.07,
            "cmax": 1.53,
            "colorbar": {"title": {"text": "parameters, M"}, "thickness": 12, "outlinewidth": 0},
            "symbol": symbol,
            "size": 5 if len(rows) < 3000 else 3,
            "opacity": 0.75 if len(rows) < 3000 else 0.5,
        },
        hovertemplate="%{text}<br>Fisher Potential %{x:.3g}<br>error %{y:.2f} %<extra></extra>",
    )


def _intervals(rows: Rows, name: str, label: str, colour: str, symbol: str) -> go.Scatter:
    values = [_number(row, name) for row in rows]
    return go.Scatter(
        x=values,
        y=[_label(str(row["proxy"])) for row in rows],
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [_number(row, f"{name}_high") - value for row, value in zip(rows, values, strict=True)],
            "arrayminus": [value - _number(row, f"{name}_low") for row, value in zip(rows, values, strict=True)],
            "color": colour,
            "thickness": 1.5,
            "width": 3,
        },
        mode="markers",
        name=label,
        marker={"color": colour, "symbol": symbol, "size": 9},
        hovertemplate="%{y}: %{x:.3f}<extra>" + name + "</extra>",
    )


def _label(proxy: str) -> str:
    return f"<i>{proxy}</i> " if proxy in TRIVIAL else f"{proxy} "


def _number(row: Row, name: str) -> float:
    value = row[name]
    return float("nan") if value is None else float(value)
