"""The commands and what they have in common."""

from __future__ import annotations

from typing import Annotated

import typer

from loopwright import __version__
from loopwright.cli.commands import (
    benchmark,
    build,
    calibrate,
    discover,
    evaluate,
    export,
    inspect,
    optimize,
    report,
    reproduce,
    train,
    transform,
)
from loopwright.cli.commands import compile as compile_command

app = typer.Typer(
    name="loopwright",
    help="Makes convolutional networks faster by treating neural-architecture choices as program transformations.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"loopwright {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def loopwright(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001 - handled by its callback
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Makes convolutional networks faster by treating neural-architecture choices as program transformations."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


app.command("optimize")(optimize.command)
app.command("train")(train.command)
app.command("build")(build.command)
app.command("calibrate")(calibrate.command)
app.command("report")(report.command)
app.command("compile")(compile_command.command)
app.command("evaluate")(evaluate.command)
app.command("export")(export.command)
app.command("inspect")(inspect.command)
app.command("transform")(transform.command)
app.command("discover")(discover.command)
app.command("benchmark")(benchmark.command)
app.add_typer(reproduce.app, name="reproduce")
