"""A few figures on one page that opens from disk without a network; for results that are no run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs

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
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("loopwright.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    drawn = [(plate, _html(plate, number)) for number, plate in enumerate(plates)]
    page = environment.get_template("sheet.html.j2").render(
        title=title, lead=lead, plates=drawn, plotly=Markup(get_plotlyjs())
    )
    path.write_text(page, encoding="utf-8")


def _html(plate: Plate, number: int) -> Markup:
    return Markup(
        plate.drawing.to_html(
            full_html=False,
            include_plotlyjs=False,
            div_id=f"plate-{number}",
            config={"displayModeBar": False, "responsive": True},
        )
    )
