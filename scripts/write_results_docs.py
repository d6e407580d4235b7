"""Writes the table of docs/results.md from what `loopwright reproduce fig4` left in docs/data/fig4; a test holds that the
page is up to date."""

from __future__ import annotations

import csv
from pathlib import Path

from loopwright.reproduction.fig4_page import HEADINGS, cells

DOCS = Path(__file__).parent.parent / "docs"
PAGE, TEXT, DATA = DOCS / "results.md", Path(__file__).parent / "results.md", DOCS / "data" / "fig4"


def main() -> None:
    """Writes the page."""
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """The text, ``{networks}`` in it replaced by the table."""
    with (DATA / "fig4.csv").open(newline="", encoding="utf-8") as file:
        rows = [{name: value or None for name, value in row.items()} for row in csv.DictReader(file)]
    lines = [HEADINGS, ["---", *["---:"] * (len(HEADINGS) - 1)], *(cells(_numbers(row)) for row in rows)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return TEXT.read_text(encoding="utf-8").replace("{networks}", table)


def _numbers(row: dict[str, str | None]) -> dict[str, str | float | None]:
    """Figures as numbers again."""
    return {name: _number(value) for name, value in row.items()}


def _number(value: str | None) -> str | float | None:
    try:
        return None if value is None else int(value) if value.isdecimal() else float(value)
    except ValueError:
        return value


if __name__ == "__main__":
    main()
