"""``loopwright build``: kernels for a GPU that is elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from loopwright.cli.options import InputShape, Model, Precision, Seed, input_shape
from loopwright.search.budget import OPERATORS


def command(
    model: Model,
    target: Annotated[
        str,
        typer.Option(help="The GPU to build for, such as cuda-sm_90, or cuda for the one here.", show_default=False),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="FOLDER", help="Where the kernels go; those there are kept.", show_default=False
        ),
    ],
    precision: Precision = "float32",
    operators: Annotated[
        int, typer.Option(min=1, help="As for optimize: how many operators it will time at most.")
    ] = OPERATORS,
    seed: Seed = 0,
    shape: InputShape = None,
) -> None:
    """Build what optimize will time on a GPU, on a machine without one.

    The operators that optimize would draw with the same arguments are compiled by NVIDIA's nvcc on all processors. On
    the machine with the GPU, optimize takes the folder as --kernels.
    """
    wanted_shape = input_shape(shape)

    from loopwright.building import build
    from loopwright.cli.console import output_console
    from loopwright.cli.progress import progress_on

    with progress_on(output_console(stderr=True)) as progress:
        built = build(
            model, wanted_shape, target=target, out=out, precision=precision, operators=operators, seed=seed,
            progress=progress,
        )  # fmt: skip
    typer.echo(f"{built.there} of {built.wanted} kernels are in {out}")
    typer.echo(f"on the machine with the GPU: loopwright optimize {model} --target cuda --kernels {out} ...")
