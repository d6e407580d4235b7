"""``loopwright compile``: a network as one file that TVM's runtime runs alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
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

if TYPE_CHECKING:
    from loopwright.compiling import WrittenNetwork


def command(
    model: ModelOrFolder,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="FILE", help="The file to write, such as net.so.", show_default=False),
    ],
    target: CompileTarget = "cpu",
    precision: Precision = "float32",
    threads: Threads = None,
    tune: Tune = True,
    store: StoreAddress = None,
    weights: WeightsToUse = None,
    seed: Seed = 0,
    shape: InputShape = None,
    json: Json = False,
) -> None:
    """Compile a network to a shared library.

    Code and weights are in one file that loads and runs with TVM's runtime alone. It is held against PyTorch before it
    is kept. For another kind of processor the file is an archive of objects (net.tar) to be linked there.
    """
    wanted_shape = input_shape(shape)

    from loopwright.cli.console import output_console
    from loopwright.cli.progress import progress_on
    from loopwright.compiling import Tuning, write_network

    with progress_on(output_console(stderr=True)) as progress:
        progress.stage("Compile")
        tuning = Tuning(tune, store, progress.advance)
        written = write_network(
            *(model, out, wanted_shape, target),
            threads=threads,
            precision=precision,
            tuning=tuning,
            weights=weights,
            seed=seed,
        )
    if json:
        typer.echo(dumps(_facts(written), indent=1))
        return
    for line in _lines(written):
        typer.echo(line)


def _facts(written: WrittenNetwork) -> dict[str, Any]:
    """The same as plain data; None for what this machine can't find out."""
    return {
        "path": str(written.path),
        "file_bytes": written.file_bytes,
        "weight_bytes": written.weight_bytes,
        "kernels": written.kernels,
        "target": written.target.name,
        "threads": written.target.threads,
        "precision": written.target.precision,
        "notes": list(written.notes),
        "difference": written.difference,
        "latency_samples_ms": None if written.timing is None else list(written.timing.samples_ms),
    }


def _lines(written: WrittenNetwork) -> Iterator[str]:
    from loopwright.report import formats

    size, weights = formats.megabytes(written.file_bytes), formats.megabytes(written.weight_bytes)
    yield f"wrote       {written.path}: {size}, weights {weights}"
    yield f"kernels     {written.kernels} different ones for {written.target.label}, {formats.hardware(written.target)}"
    for note, times in Counter(written.notes).items():
        yield f"note        {note}{f' ({times} times)' if times > 1 else ''}"
    if written.timing is None or written.difference is None:
        yield "unchecked   this machine can't run it: neither held against PyTorch nor timed"
        return
    yield f"difference  {written.difference:.1e} of the largest output, from PyTorch on a random input"
    rounds = len(written.timing.samples_ms)
    yield f"latency     {formats.milliseconds(written.timing.median_ms)} ms, median of {rounds} samples"
