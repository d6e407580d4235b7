"""``loopwright calibrate``: the calibrated check for one's own network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loopwright.cli.options import InputShape, Model, Seed, StoreAddress, input_shape, names

if TYPE_CHECKING:
    from loopwright.legality.capacity import Table

TOLERANCE = 1.0


def command(
    model: Model,
    data: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Images as Parquet files to train on.", show_default=False)
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="The table to write, as CSV.", show_default=False)
    ],
    networks: Annotated[int, typer.Option(min=1, help="How many candidates to train.")] = 40,
    include: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER,FOLDER,...",
            help="Folders that optimize wrote for this network, of which the networks are trained as well.",
            show_default=False,
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="How long each is trained.")] = 4,
    images: Annotated[
        int | None, typer.Option(min=1, help="Training images to take at most; all without it.", show_default=False)
    ] = None,
    device: Annotated[str, typer.Option(help="Where networks are trained and scored: cpu, cuda, or cuda:1.")] = "cpu",
    seed: Seed = 0,
    store: StoreAddress = None,
    shape: InputShape = None,
) -> None:
    """Fit the accuracy check to a network.

    Some of the network's candidates are trained for a short time, on training images alone. What they lose against the
    original is written to a table that optimize takes as --calibration. An interrupted calibration goes on when the
    command is given again.
    """
    wanted_shape = input_shape(shape)

    from loopwright.calibrating import calibrate
    from loopwright.cli.console import output_console
    from loopwright.cli.progress import progress_on

    with progress_on(output_console(stderr=True)) as progress:
        table = calibrate(
            model, wanted_shape, data=data, out=out, networks=networks, include=names(include) or (), epochs=epochs,
            images=images, seed=seed, device=device, store=store, progress=progress,
        )  # fmt: skip
    for line in _lines(table):
        typer.echo(line)
    typer.echo(f"wrote {out}: loopwright optimize {model} --calibration {out} ...")


def _lines(table: Table) -> Iterator[str]:
    """What was trained, and how often a check that knows all others is right about each."""
    import numpy as np

    from loopwright.legality.capacity.crossvalidation import Confusion, predictions
    from loopwright.legality.capacity.predictor import CONFIDENCE, LEAST_NETWORKS

    good = table.drops <= TOLERANCE
    low, high = table.drops.min(), table.drops.max()
    yield f"{len(good)} networks lose {low:.1f} to {high:.1f} points, {good.sum()} of them at most {TOLERANCE:g}"
    if table.original.error > TOLERANCE / 2:
        yield f"accuracies are known to {table.original.error:.1f} points only; take more images, or train for longer"
    if len(good) <= LEAST_NETWORKS:
        return
    found = predictions(table)
    accepted = np.array([own is not None and own.probability(TOLERANCE) >= CONFIDENCE for own in found])
    confusion = Confusion.of(accepted, good)
    accepted_good = f"{confusion.accepted_good} of them rightly"
    yield f"each predicted from the others: {confusion.accepted} would be accepted, {accepted_good}"
