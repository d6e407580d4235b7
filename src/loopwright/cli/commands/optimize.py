"""``loopwright optimize``: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loopwright.cli.options import Data, Device, Images, InputShape, Model, Seed, StoreAddress, input_shape
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
    shape: InputShape = None,
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

    with progress_on(output_console(stderr=True)) as progress:
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
            progress=progress,
            command=context.obj,
        )
    _show(output_console(), found.summary, out)


def _show(console: Console, summary: RunSummary, out: Path) -> None:
    from loopwright.report import tables

    for table in (tables.layer_table, tables.funnel_table, tables.comparison_table):
        console.print(table(summary))
    typer.echo(f"report: {out / 'report.html'}")
    typer.echo(tables.speedup_line(summary))
