"""The report of a run: CSV files, figures drawn from them, and one page that opens from disk without a network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from loopwright.files import write_atomically
from loopwright.report import candidates, numbers, plotly_js, quantities
from loopwright.report.comparison import comparison
from loopwright.report.figure import Figure, registered, to_html
from loopwright.report.folder import SUMMARY
from loopwright.report.numbers import Rows
from loopwright.report.page_data import embedded, page_data
from loopwright.report.serialisation import to_json
from loopwright.report.summary import RunSummary
from loopwright.report.templates import environment

PAGE, NUMBERS = "report.html", "numbers"


@dataclass(frozen=True)
class Drawing:
    """A figure as the page embeds it."""

    title: str
    caption: str
    html: Markup


def write_report(summary: RunSummary, folder: Path) -> Path:
    """Writes ``summary.json``, ``numbers/*.csv`` and ``report.html`` into ``folder``; the path of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / SUMMARY, to_json(summary))
    return write_page(summary, folder)


def write_page(summary: RunSummary, folder: Path) -> Path:
    """As `write_report`, of the folder of a run that has its summary."""
    tables = _tables(summary)
    (folder / NUMBERS).mkdir(exist_ok=True)
    for name, rows in tables.items():
        numbers.write_csv(folder / NUMBERS / f"{name}.csv", rows)
    write_atomically(folder / PAGE, render(summary, tables))
    return folder / PAGE


def render(summary: RunSummary, tables: Mapping[str, Rows]) -> str:
    """The page as HTML, everything it needs inside."""
    drawings = {figure.name: _drawing(figure, tables[figure.name]) for figure in registered() if tables[figure.name]}
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            run=summary,
            lines=comparison(summary),
            drawings=drawings,
            tables=tables,
            names={(operator.workload, operator.sequence): operator.name for operator in summary.operators},
            **_choices(tables["front"]),
            data=embedded(page_data(summary)),
            plotly=plotly_js.cartesian() if drawings else "",
        )
    )


def _choices(rows: Rows) -> dict[str, Any]:
    """What the controls of the front offer: quantities with their titles, families, statuses with their counts, and the
    numbers of the candidates that have layers to show."""
    heights = quantities.known_heights(rows[0]) if rows else []
    others = [row for row in rows if row["candidate"]]
    statuses = Counter(str(row["status"]) for row in others)
    return {
        "heights": heights,
        "titles": {name: quantities.title(name) for name in (*quantities.WIDTHS, *heights)},
        "families": sorted({str(row["family"]) for row in others}),
        "statuses": {name: statuses[name] for name in candidates.STATUSES if name in statuses},
        "shown": {row["candidate"] for row in others if row["status"] in candidates.SHOWN},
    }


def _tables(summary: RunSummary) -> dict[str, Rows]:
    """The rows of every table and figure by name."""
    tables = {"networks": numbers.networks(summary), "funnel": numbers.funnel(summary)}
    return tables | {figure.name: figure.numbers(summary) for figure in registered()}


def _drawing(figure: Figure, rows: Rows) -> Drawing:
    return Drawing(figure.title, figure.caption, to_html(figure.draw(rows), f"figure-{figure.name}"))
