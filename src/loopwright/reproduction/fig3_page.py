"""Figure 3 as a table for a terminal and as a page."""

from __future__ import annotations

from pathlib import Path

from rich import box
from rich.table import Table

from loopwright.report.numbers import Cell
from loopwright.report.sheet import Plate, write_sheet
from loopwright.reproduction import fig3, fig3_drawings
from loopwright.reproduction.fig3 import Figure3, Request

PAGE = "fig3.html"


def table(figure: Figure3) -> Table:
    """One row a proxy: correlations, and what the rule comes to for the top quarter."""
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("proxy", "Spearman", "Kendall", "accepted", "precision", "recall"):
        drawn.add_column(heading, justify="left" if heading == "proxy" else "right", no_wrap=True)
    ranks = {row["proxy"]: row for row in figure.summary}
    for row in figure.rules:
        if row["original"] == fig3.TOP_QUARTER:
            rank = ranks.get(row["proxy"], {})
            accepted = int(row["accepted"] or 0) / max(1, int(row["candidates"] or 0))
            drawn.add_row(
                str(row["proxy"]), _signed(rank.get("spearman")), _signed(rank.get("kendall")), f"{accepted:.1%}",
                _percent(row["precision"]), _percent(row["recall"]),
            )  # fmt: skip
    return drawn


def write_page(figure: Figure3, request: Request) -> Path:
    """Writes ``fig3.html`` beside the CSV files; its path."""
    count = request.setup.count
    plates = [
        Plate(
            "Final error against Fisher Potential",
            "Each point is one cell of NAS-Bench-201, scored at initialisation; errors are the benchmark's, means of "
            "up to three trainings.",
            fig3.NUMBERS,
            fig3_drawings.scatter(figure.cells),
        ),
        Plate(
            "Rank correlation with the trained accuracy",
            "Signed: a score that grows with accuracy is to the right. A score that is no finite number, which the "
            "check rejects, ranks below all others. Trivial baselines in italics; bars are 95 % bootstrap intervals.",
            fig3.SUMMARY,
            fig3_drawings.correlations(figure.summary),
        ),
        Plate(
            "The rule: reject what scores below the original",
            "Every cell of the most accurate quarter is an original in turn; its candidates have at most 0.9 times its "
            "multiply-accumulates, and are legal if they lose no more than 1 point of accuracy. A rule that accepts "
            "nothing has no precision.",
            fig3.RULES,
            fig3_drawings.precisions(figure.rules),
        ),
    ]
    title = "Figure 3: is Fisher Potential a legality check?"
    lead = f"{len(figure.cells):,} cells of NAS-Bench-201 on CIFAR-10; scores on one minibatch of {count} images."
    write_sheet(request.out / PAGE, title, lead, plates)
    return request.out / PAGE


def _signed(value: Cell) -> str:
    return "" if value is None or float(value) != float(value) else f"{float(value):+.3f}"


def _percent(value: Cell) -> str:
    return "-" if value is None or float(value) != float(value) else f"{float(value):.1%}"
