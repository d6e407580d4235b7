"""``loopwright evaluate``: how often a network is right, in PyTorch and compiled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from loopwright.cli.options import (
    CompileTarget,
    InputShape,
    Json,
    ModelOrFolder,
    Precision,
    Seed,
    StoreAddress,
    Threads,
    Tune,
    WeightsToUse,
    input_shape,
)
from loopwright.errors import ArgumentError

if TYPE_CHECKING:
    from loopwright.evaluating import Evaluation, Score


def command(
    model: ModelOrFolder,
    data: Annotated[Path, typer.Option(metavar="FOLDER", help="Test images as Parquet files.", show_default=False)],
    compiled: Annotated[
        bool, typer.Option("--compiled/--no-compiled", help="Compile the network as well, as loopwright compile does.")
    ] = True,
    artefact: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A shared library of the network to run, such as net.so.")
    ] = None,
    images: Annotated[
        int | None, typer.Option(min=1, help="Only so many test images, the same ones every time.")
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Images that the compiled network takes at once; as many as the network's input has without it.",
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="Where PyTorch runs: cpu, cuda, or cuda:1.")] = "cpu",
    target: CompileTarget = "cpu",
    threads: Threads = None,
    precision: Precision = "float32",
    tune: Tune = True,
    store: StoreAddress = None,
    weights: WeightsToUse = None,
    seed: Seed = 0,
    resize: Annotated[bool, typer.Option("--resize", help="Resize images to the network's input.")] = False,
    shape: InputShape = None,
    json: Json = False,
) -> None:
    """Measure a network's accuracy on test images, in PyTorch and compiled.

    The accuracy is top-1; the two may differ by 0.1 points or one image, otherwise the command fails. The speed of both
    is shown.
    """
    wanted_shape = input_shape(shape)
    if artefact is not None and not compiled:
        raise ArgumentError("--artefact runs a compiled network; leave out --no-compiled")

    from loopwright.cli.console import output_console
    from loopwright.cli.progress import progress_on
    from loopwright.evaluating import evaluate

    with progress_on(output_console(stderr=True)) as progress:
        found = evaluate(
            model,
            wanted_shape,
            data=data,
            compiled=compiled,
            artefact=artefact,
            images=images,
            batch=batch,
            device=device,
            target=target,
            threads=threads,
            precision=precision,
            tune=tune,
            store=store,
            weights=weights,
            seed=seed,
            resize=resize,
            progress=progress,
        )
    if json:
        typer.echo(dumps(_facts(found), indent=1))
        return
    for line in _lines(found):
        typer.echo(line)


def _facts(found: Evaluation) -> dict[str, Any]:
    """The same as plain data."""
    scores = {"pytorch": found.pytorch, "compiled": found.compiled}
    return {**asdict(found), **{name: score and _score(score) for name, score in scores.items()}}


def _score(score: Score) -> dict[str, Any]:
    return {**asdict(score), "accuracy": score.accuracy}


def _lines(found: Evaluation) -> Iterator[str]:
    yield f"images     {found.pytorch.images:,} test images"
    yield f"PyTorch    {found.pytorch}"
    if found.compiled is not None:
        yield f"compiled   {found.compiled}"
        count = f"{found.different} image{'' if found.different == 1 else 's'}"
        yield f"agreement  {count} in another class"
