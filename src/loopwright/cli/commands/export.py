"""``loopwright export``: a network as one file for other software."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from enum import StrEnum
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loopwright.cli.options import (
    CompileTarget,
    InputShape,
    Json,
    ModelOrFolder,
    Seed,
    StoreAddress,
    Threads,
    Tune,
    WeightsToUse,
    input_shape,
)

if TYPE_CHECKING:
    from loopwright.exporting import ExportedNetwork


class Format(StrEnum):
    """What is written."""

    ONNX = "onnx"
    TORCH = "torch"
    TVM = "tvm"


def command(
    model: ModelOrFolder,
    format: Annotated[  # noqa: A002 - the option's name
        Format,
        typer.Option(
            help="ONNX's standard operators (.onnx); a program that torch.export.load reads (.pt2); or the shared "
            "library of compile, for TVM's runtime (.so).",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="FILE", help="The file to write, such as net.onnx.", show_default=False),
    ],
    dynamic_batch: Annotated[
        bool, typer.Option("--dynamic-batch", help="Let the file take any number of images (onnx and torch).")
    ] = False,
    target: CompileTarget = "cpu",
    threads: Threads = None,
    tune: Tune = True,
    store: StoreAddress = None,
    weights: WeightsToUse = None,
    seed: Seed = 0,
    shape: InputShape = None,
    json: Json = False,
) -> None:
    """Export a network as ONNX, a PyTorch program or a shared library.

    Loopwright is not needed where the file runs. The file is loaded again and held against PyTorch on random inputs and
    sample images before it is kept. Target, threads, tuning and store are for tvm alone.
    """
    wanted_shape = input_shape(shape)

    from loopwright.cli.console import output_console
    from loopwright.cli.progress import progress_on
    from loopwright.exporting import export

    with progress_on(output_console(stderr=True)) as progress:
        progress.stage("Export")
        written = export(
            model,
            out,
            wanted_shape,
            format=format.value,
            dynamic_batch=dynamic_batch,
            target=target,
            threads=threads,
            tune=tune,
            store=store,
            weights=weights,
            seed=seed,
            advance=progress.advance,
        )
    if json:
        typer.echo(dumps({**asdict(written), "path": str(written.path)}, indent=1))
        return
    for line in _lines(written):
        typer.echo(line)


def _lines(written: ExportedNetwork) -> Iterator[str]:
    from loopwright.report import formats

    yield f"wrote       {written.path}: {formats.megabytes(written.file_bytes)}"
    shapes = ("×".join("N" if extent is None else str(extent) for extent in shape) for shape in written.shapes)
    yield f"takes       {', '.join(shapes)}"
    if written.difference is None:
        yield "unchecked   this machine can't run it: not held against PyTorch"
    else:
        yield f"difference  {written.difference:.1e} of the largest output, from PyTorch ({written.runtime})"
