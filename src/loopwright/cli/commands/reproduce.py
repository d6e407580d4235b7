"""``loopwright reproduce``: the figures of the paper, measured again."""

from __future__ import annotations

import typer

from loopwright.registry import modules

app = typer.Typer(
    help="Measure a figure of the paper again: numbers as CSV, and a page that draws them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

for _figure in modules("loopwright.cli.figures"):
    app.command(_figure.__name__.rpartition(".")[2])(_figure.command)


@app.callback()
def reproduce() -> None:
    """Keeps the figure's name an argument while there is only one."""
