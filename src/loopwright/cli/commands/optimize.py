"""``loopwright optimize``: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loopwright.cli.options import (
    Data,
    Device,
    Images,
    InputShape,
    Json,
    Log,
    Model,
    ProgressOption,
    ProgressStyle,
    Seed,
    StoreAddress,
    input_shape,
)
from loopwright.report.folder import require_free

if TYPE_CHECKING:
    from rich.console import Console

    from loopwright.report.summary import RunSummary


def command(
    context: typer.Context,
    model: Model,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="A new folder for the result.", show_default=False)],
    target: Annotated[str, typer.Option(help="The hardware to be fast on.")] = "cpu",
    data: Data = None,
    configurations: Annotated[int, typer.Option(min=1, help="How many configurations of the network to draw.")] = 1000,
    images: Images = 128,
    seed: Seed = 0,
    device: Device = "cpu",
    legality: Annotated[
        str,
        typer.Option(help="What candidates are held to: calibrated (the predicted accuracy) or fisher (the paper's)."),
    ] = "calibrated",
    tolerance: Annotated[
        float, typer.Option(help="Points of accuracy that the calibrated check lets a network lose.")
    ] = 1.0,
    calibration: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Table of trained networks to learn from instead of the packaged one."),
    ] = None,
    store: StoreAddress = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that judge candidates; without it, one for each processor.")
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Judge on a Ray cluster: HOST:PORT of its head, auto for the one on this machine, local to start one "
            "here. Timing stays on this machine.",
        ),
    ] = None,
    shape: InputShape = None,
    json: Json = False,
    progress: ProgressOption = ProgressStyle.AUTO,
    log: Log = None,
) -> None:
    """Make a network faster on a target.

    Random configurations of the network are drawn, judged by structure and predicted accuracy and timed; the fastest
    legal one is compared with the original and delivered with a report.
    """
    require_free(out)
    wanted_shape = input_shape(shape)

    from loopwright.api import optimize
    from loopwright.cli.console import output_console
    from loopwright.cli.progress import progress_on
    from loopwright.search.logs import logging_to

    with logging_to(log), progress_on(output_console(stderr=True), progress) as watched:
        found = optimize(
            model,
            wanted_shape,
            target=target,
            out=out,
            data=data,
            configurations=configurations,
            images=images,
            seed=seed,
            device=device,
            legality=legality,
            tolerance=tolerance,
            calibration=calibration,
            store=store,
            workers=workers,
            ray=ray,
            progress=watched,
            command=context.obj,
        )
    if json:
        from loopwright.report.serialisation import to_json

        typer.echo(to_json(found.summary), nl=False)
        return
    _show(output_console(), found.summary, out)


def _show(console: Console, summary: RunSummary, out: Path) -> None:
    from loopwright.report import tables

    for table in (tables.layer_table, tables.funnel_table, tables.comparison_table):
        console.print(table(summary))
    typer.echo(f"report: {out / 'report.html'}")
    typer.echo(tables.speedup_line(summary))
