"""``loopwright report``: the page of a run, or of several beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from loopwright.errors import ArgumentError

COMPARISON = Path("compare.html")


def command(
    folders: Annotated[
        list[Path], typer.Argument(metavar="FOLDER", help="What optimize was given as --out.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="The page of several runs; compare.html without it."),
    ] = None,
) -> None:
    """Write a run's report again, or compare runs.

    With one FOLDER its report.html and the CSV files beside it are written again; with several, one page that compares
    them, and beside it their numbers.
    """
    if len(folders) == 1 and out is not None:
        raise ArgumentError(f"--out is for comparing runs; of one run, the report is {folders[0] / 'report.html'}")
    if len(set(folders)) < len(folders):
        twice = next(folder for folder in folders if folders.count(folder) > 1)
        raise ArgumentError(f"{twice} is named twice; name each run once")
    from loopwright.report.folder import read_run

    runs = {folder: read_run(folder) for folder in folders}
    if len(runs) == 1:
        from loopwright.report.page import write_page

        [(folder, run)] = runs.items()
        typer.echo(f"report: {write_page(run, folder)}")
        return
    from loopwright.report.compare import write_comparison

    page = out or COMPARISON
    if not page.parent.is_dir():
        raise ArgumentError(f"--out {page}: there is no folder {page.parent}")
    write_comparison(runs, page)
    typer.echo(f"comparison: {page}")
