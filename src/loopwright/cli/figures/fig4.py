"""``loopwright reproduce fig4``: chosen networks beside their originals, timed and trained."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from loopwright.cli.options import StoreAddress
from loopwright.errors import ArgumentError


class Part(StrEnum):
    """What can be done alone, on the machine that it is for."""

    TRAIN = "train"
    TIME = "time"
    TABLE = "table"


def command(
    networks: Annotated[
        list[Path], typer.Argument(metavar="FOLDER...", help="Folders that optimize wrote.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the numbers and the page go.", show_default=False)],
    data: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Training and test images as Parquet files.", show_default=False),
    ] = None,
    device: Annotated[str, typer.Option(help="To train on: cpu, cuda for all GPUs, or cuda:0.")] = "cpu",
    epochs: Annotated[int, typer.Option(min=1, help="Of every training from scratch.")] = 40,
    batch: Annotated[int, typer.Option(min=2, help="Images of a training step.")] = 256,
    cutout: Annotated[
        int, typer.Option(min=0, help="Side in pixels of the square that is cut out of every training image.")
    ] = 0,
    seeds: Annotated[
        str,
        typer.Option(
            metavar="N,MODEL=N,...", help="Trainings from scratch of every network, or of a model and its chosen ones."
        ),
    ] = "1",
    inherited: Annotated[
        int,
        typer.Option(
            min=0, help="Epochs of another training, which begins with the trained original's weights; 0: none."
        ),
    ] = 0,
    inherited_batch: Annotated[
        int | None, typer.Option(min=2, help="Images of a step there; like --batch without it.", show_default=False)
    ] = None,
    distill: Annotated[bool, typer.Option("--distill", help="There, learn from the original as well.")] = False,
    rounds: Annotated[int, typer.Option(min=1, help="How many samples of each latency.")] = 15,
    only: Annotated[
        Part | None, typer.Option(help="Do one part: train, time (on this processor), or neither.", show_default=False)
    ] = None,
    store: StoreAddress = None,
) -> None:
    """Train and time networks that optimize chose, and their originals.

    Originals are timed on stock runtimes too (pip install 'loopwright[peers]'). All are trained by one schedule. What
    the folder has already is not done again, so trainings and timings may be made on two machines.
    """
    from loopwright.cli.console import output_console
    from loopwright.cli.progress import progress_on
    from loopwright.reproduction.fig4 import Request, summarise, time_all, train_all
    from loopwright.reproduction.fig4_page import table, write_page
    from loopwright.reproduction.fig4_training import Recipe

    recipe = Recipe(epochs, batch, cutout)
    then = replace(recipe, epochs=inherited, batch=inherited_batch or batch) if inherited else None
    request = Request(tuple(networks), out, data, device, recipe, _counts(seeds), then, distill, store, rounds)
    out.mkdir(parents=True, exist_ok=True)
    with progress_on(output_console(stderr=True)) as progress:
        if only in (None, Part.TRAIN):
            train_all(request, progress)
        if only in (None, Part.TIME):
            time_all(request, progress)
    rows = summarise(request)
    output_console().print(table(rows))
    typer.echo(f"figure and numbers: {write_page(rows, request)}")


def _counts(text: str) -> dict[str, int]:
    """``1,resnet34=3`` as numbers by model; that of all others by the empty name."""
    counts = {}
    for part in text.split(","):
        model, _, number = part.strip().rpartition("=")
        if not number.isdecimal() or int(number) < 1:
            raise ArgumentError(f"--seeds {text}: {part.strip()!r} is no number; give one such as 3, or resnet34=3")
        counts[model] = int(number)
    return counts
