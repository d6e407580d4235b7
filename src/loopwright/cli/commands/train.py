"""``loopwright train``: the accuracy beside the speed."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import asdict
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loopwright.cli.given import require_nothing_beside_resume
from loopwright.cli.options import (
    InputShape,
    Json,
    Log,
    ProgressOption,
    ProgressStyle,
    Seed,
    Weights,
    input_shape,
)
from loopwright.cli.watching import watched
from loopwright.errors import ArgumentError
from loopwright.search.run_folder import how_to_resume_training, is_in_training

if TYPE_CHECKING:
    from loopwright.search.progress import Progress
    from loopwright.training.train import Trained

WITH_RESUME = ("data", "json", "progress", "log")
"""Options that a training that goes on takes beside --resume."""


def command(
    context: typer.Context,
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="FOLDER_OR_MODEL",
            help="A folder that optimize or train wrote, or a known name such as resnet34, path/to/file.py:factory, or "
            "package.module:factory.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Training and test images as Parquet files.", show_default=False),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="How often every training image is seen.", show_default=False)
    ] = None,
    device: Annotated[str, typer.Option(help="Where to train: cpu, cuda, or cuda:1.")] = "cpu",
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="A new folder for a MODEL; a FOLDER is trained in place.")
    ] = None,
    weights: Weights = None,
    distill: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|FOLDER",
            help="Learn from a teacher as well: trained weights of the original, or a folder with a network.",
        ),
    ] = None,
    batch: Annotated[int, typer.Option(min=2, help="Images in a step.")] = 256,
    rate: Annotated[
        float | None,
        typer.Option(help="The highest learning rate; without it, 0.1 for every 128 images of a batch."),
    ] = None,
    cutout: Annotated[
        int, typer.Option(min=0, help="Side in pixels of the square that is cut out of every training image.")
    ] = 0,
    seed: Seed = 0,
    validate: Annotated[
        bool,
        typer.Option(
            "--validate",
            help="Hold out a tenth of the training images and measure the accuracy on them, not on the test images.",
        ),
    ] = False,
    resize: Annotated[bool, typer.Option("--resize", help="Resize images to the network's input.")] = False,
    shape: InputShape = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Go on with the training in FOLDER that was ended before its end. It keeps its arguments; only "
            f"{', '.join(f'--{name}' for name in WITH_RESUME)} may be given anew.",
        ),
    ] = None,
    json: Json = False,
    progress: ProgressOption = ProgressStyle.AUTO,
    log: Log = None,
) -> None:
    """Train a network and measure its accuracy.

    The weights are put into the folder, for compile, benchmark and load, with the curve (training.csv) and the accuracy
    on the test images (training.json).
    """  # fmt: skip
    if resume is not None:
        require_nothing_beside_resume(context, WITH_RESUME)
        from loopwright.training.train import resume_training

        with _watched(resume, progress, log) as watched:
            found = resume_training(resume, data=data, progress=watched)
        _show(found, json)
        return
    if model is None or data is None or epochs is None:
        missing = _missing({"argument 'FOLDER_OR_MODEL'": model, "option '--data'": data, "option '--epochs'": epochs})
        raise ArgumentError(f"Missing {missing}; to go on with a training, give --resume FOLDER")
    if out is None and not Path(model).is_dir():
        raise ArgumentError(f"Missing option '--out', a new folder for {model}; or name a folder that is there")
    wanted_shape = input_shape(shape)

    from loopwright.training.train import train

    with _watched(out or Path(model), progress, log) as watched:
        found = train(
            model, wanted_shape, data=data, epochs=epochs, device=device, weights=weights, distill=distill, batch=batch,
            rate=rate, cutout=cutout, seed=seed, out=out, validate=validate, resize=resize, progress=watched,
        )  # fmt: skip
    _show(found, json)


def _missing(given: dict[str, object]) -> str:
    return next(name for name, value in given.items() if value is None)


def _watched(folder: Path, style: ProgressStyle, log: Path | None) -> AbstractContextManager[Progress]:
    def how_to_go_on() -> str | None:
        return how_to_resume_training(folder) if is_in_training(folder) else None

    return watched(how_to_go_on, style, log)


def _show(found: Trained, json: bool) -> None:
    if json:
        curve = [asdict(row) for row in found.curve]
        facts = {"accuracy": found.accuracy, "images": found.images, "folder": str(found.folder), "curve": curve}
        typer.echo(dumps(facts, indent=1))
        return
    typer.echo(f"loss      {found.curve[-1].loss:.4f} in the last of {len(found.curve)} epochs")
    typer.echo(f"accuracy  {found.accuracy:.2f} % of {found.images}")
    typer.echo(f"wrote     {found.folder}: weights.safetensors, training.csv, training.json")
