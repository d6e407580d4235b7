"""What a figure is: its numbers, and how they are drawn. A new figure is one new file in `report.figures`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from loopwright.registry import modules
from loopwright.report.numbers import Rows
from loopwright.report.summary import RunSummary

if TYPE_CHECKING:
    import plotly.graph_objects as go

ORIGINAL, CHOSEN, OTHER, GRID, INK = "#94a3b8", "#0f766e", "#5eead4", "#e2e8f0", "#0f172a"
FONT = "Inter, system-ui, -apple-system, 'Segoe UI', sans-serif"


@dataclass(frozen=True)
class Figure:
    """``numbers`` takes what the figure shows out of a summary, ``draw`` sees nothing but these rows.

    ``position`` orders figures on the page; a figure without rows is left out.
    """

    name: str
    position: int
    title: str
    caption: str
    numbers: Callable[[RunSummary], Rows]
    draw: Callable[[Rows], go.Figure]


def registered() -> list[Figure]:
    """The figures of all files in `report.figures`, by position."""
    found: list[Figure] = [module.FIGURE for module in modules("loopwright.report.figures")]
    return sorted(found, key=lambda figure: figure.position)


def to_html(drawing: go.Figure, identifier: str) -> Markup:
    """The figure as an element and its script, for a page that has Plotly's JavaScript."""
    html = drawing.to_html(
        full_html=False,
        include_plotlyjs=False,
        div_id=identifier,
        config={"displayModeBar": False, "responsive": True},
    )
    return Markup(html)


def style(drawing: go.Figure, height: int, x_title: str, y_title: str) -> go.Figure:
    """The common look: quiet axes, no frame, the page's type."""
    drawing.update_layout(
        template="none",
        height=height,
        margin={"l": 64, "r": 16, "t": 24, "b": 52},
        font={"family": FONT, "size": 13, "color": "#334155"},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        hoverlabel={
            "bgcolor": "white",
            "bordercolor": "#94a3b8",
            "font": {"family": FONT, "color": INK},
            "align": "left",
        },
    )
    common = {"gridcolor": GRID, "zeroline": False, "automargin": True, "exponentformat": "SI"}
    drawing.update_xaxes(title=x_title, **common)
    drawing.update_yaxes(title=y_title, **common)
    return drawing
