"""A few figures on one page that opens from disk without a network; for results that are no run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup
from plotly.offline import get_plotlyjs

from loopwright.report.figure import to_html
from loopwright.report.templates import environment

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True, eq=False)
class Plate:
    """A figure with its heading and caption; ``csv`` is the path of its numbers from the page."""

    title: str
    caption: str
    csv: str
    drawing: go.Figure


def write_sheet(path: Path, title: str, lead: str, plates: Sequence[Plate]) -> None:
    """Writes the page; everything it needs is inside."""
    drawn = [(plate, to_html(plate.drawing, f"plate-{number}")) for number, plate in enumerate(plates)]
    page = (
        environment()
        .get_template("sheet.html.j2")
        .render(title=title, lead=lead, plates=drawn, plotly=Markup(get_plotlyjs()))
    )
    path.write_text(page, encoding="utf-8")
