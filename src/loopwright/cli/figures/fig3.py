"""``loopwright reproduce fig3``: Fisher Potential against the trained error of NAS-Bench-201's cells."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loopwright.cli.options import Seed

if TYPE_CHECKING:
    from loopwright.reproduction.fig3 import Figure3


def command(
    data: Annotated[
        Path,
        typer.Option(
            metavar="FILE", help="The benchmark as CSV, with columns arch and cifar10_test.", show_default=False
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the numbers and the page go.", show_default=False)],
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="CIFAR-10 training images as Parquet files; without it, a packaged sample."
        ),
    ] = None,
    minibatch: Annotated[int, typer.Option(min=4, help="Images that every cell is scored on.")] = 64,
    device: Annotated[str, typer.Option(help="cpu, cuda for all GPUs, or cuda:0.")] = "cpu",
    cells: Annotated[
        int | None, typer.Option(min=1, help="Cells to score, drawn; without it, 1000 on a CPU and all on a GPU.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes on the CPU or on each GPU.")] = 1,
    seed: Seed = 0,
) -> None:
    """Score cells of NAS-Bench-201 and hold the scores against their trained accuracies.

    Every proxy is scored on the same minibatch, at initialisation. An interrupted run goes on where it was when it is
    given the same folder.
    """
    from loopwright.cli.console import output_console
    from loopwright.cli.progress import progress_on
    from loopwright.reproduction.fig3 import Request, reproduce
    from loopwright.reproduction.fig3_page import table, write_page
    from loopwright.reproduction.scoring import Setup

    request = Request(data, Setup(images, minibatch, seed), device, cells, workers, out)
    with progress_on(output_console(stderr=True)) as progress:
        figure: Figure3 = reproduce(request, progress)
    output_console().print(table(figure))
    typer.echo(f"figure and numbers: {write_page(figure, request)}")
