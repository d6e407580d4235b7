"""The report of a run: CSV files, figures drawn from them, and one page that opens from disk without a network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from loopwright.report import formats, numbers
from loopwright.report.comparison import comparison
from loopwright.report.figure import Figure, registered
from loopwright.report.serialisation import to_json
from loopwright.report.summary import RunSummary

SUMMARY, PAGE, NUMBERS = "summary.json", "report.html", "numbers"


@dataclass(frozen=True)
class Drawing:
    """A figure as the page embeds it; ``csv`` is the path of its numbers from the page."""

    name: str
    title: str
    caption: str
    csv: str
    html: Markup


def write_report(summary: RunSummary, folder: Path) -> Path:
    """Writes ``summary.json``, ``numbers/*.csv`` and ``report.html`` into ``folder``; the path of the page."""
    (folder / NUMBERS).mkdir(parents=True, exist_ok=True)
    (folder / SUMMARY).write_text(to_json(summary), encoding="utf-8")
    numbers.write_csv(folder / NUMBERS / "networks.csv", numbers.networks(summary))
    numbers.write_csv(folder / NUMBERS / "transformed.csv", numbers.layers(summary))
    drawn = [_drawing(figure, summary, folder) for figure in registered()]
    page = folder / PAGE
    page.write_text(render(summary, [drawing for drawing in drawn if drawing]), encoding="utf-8")
    return page


def render(summary: RunSummary, drawings: list[Drawing]) -> str:
    """The page as HTML, everything it needs inside."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("loopwright.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        count=formats.count, milliseconds=formats.milliseconds, score=formats.score, shape=formats.shape
    )
    return environment.get_template("report.html.j2").render(
        run=summary,
        lines=comparison(summary),
        drawings={drawing.name: drawing for drawing in drawings},
        plotly=Markup(get_plotlyjs()) if drawings else "",
        ratio=formats.ratio,
    )


def _drawing(figure: Figure, summary: RunSummary, folder: Path) -> Drawing | None:
    rows = figure.numbers(summary)
    if not rows:
        return None
    csv = f"{NUMBERS}/{figure.name}.csv"
    numbers.write_csv(folder / csv, rows)
    html = figure.draw(rows).to_html(
        full_html=False,
        include_plotlyjs=False,
        div_id=f"figure-{figure.name}",
        config={"displayModeBar": False, "responsive": True},
    )
    return Drawing(figure.name, figure.title, figure.caption, csv, Markup(html))
