"""Arguments and options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from loopwright.errors import ArgumentError

MODEL_HELP = (
    "A known name such as resnet34 or torchvision/resnet50, path/to/file.py:factory, or package.module:factory."
)

Model = Annotated[str, typer.Argument(metavar="MODEL", help=MODEL_HELP, show_default=False)]

ModelOrFolder = Annotated[
    str,
    typer.Argument(
        metavar="MODEL_OR_FOLDER",
        help="A known name such as resnet34, path/to/file.py:factory, package.module:factory, or a folder that "
        "optimize or train wrote.",
        show_default=False,
    ),
]

CompileTarget = Annotated[
    str,
    typer.Option(
        help="What to compile for: cpu, cuda (the NVIDIA GPU that is here), or another machine, such as cpu-neon."
    ),
]

Precision = Annotated[
    str,
    typer.Option(
        metavar="<precision>",
        help="What products are computed in: float32, or tf32 or bf16 on the tensor cores of an NVIDIA GPU of sm_80 or "
        "later, which round their factors to 10 or 7 bits of the fraction; sums and what lies in memory stay float32.",
    ),
]

Threads = Annotated[
    int | None, typer.Option(min=1, help="Threads to run on; as many as there are processors without it.")
]

Tune = Annotated[bool, typer.Option("--tune/--no-tune", help="Refine the schedules by timing.")]

InputShape = Annotated[
    str | None,
    typer.Option("--input", metavar="N,C,H,W", help="Shape of the network's input; a known model has its own."),
]

Seed = Annotated[int, typer.Option(min=0, help="Seeds the initial weights and everything that is drawn.")]

Data = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Training images as Parquet files with a column 'image' or 'img'; without it, a packaged sample.",
    ),
]

Weights = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE|FOLDER",
        help="Trained weights to begin with: a state_dict (.pt, .pth), a safetensors file, or a folder that train "
        "wrote.",
    ),
]

WeightsToUse = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        metavar="FILE|FOLDER",
        help="Trained weights to use: a state_dict (.pt, .pth), a safetensors file, or a folder that train wrote.",
    ),
]

StoreAddress = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="FILE|ADDRESS",
        help="Where timings and verdicts are kept and found again: a file, or postgresql://USER@HOST/DATABASE for a "
        "database that machines share; a file in the user's cache folder without it.",
    ),
]


class ProgressStyle(StrEnum):
    """How a run is watched."""

    AUTO = "auto"
    LIVE = "live"
    PLAIN = "plain"
    JSON = "json"
    NONE = "none"


ProgressOption = Annotated[
    ProgressStyle,
    typer.Option(
        help="What standard error shows: live on a terminal and plain lines elsewhere (auto), one of these, events as "
        "lines of JSON, or none."
    ),
]

Log = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Append stages, verdicts, timings and warnings to this file, with their times."),
]

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object, and nothing else.")]

Device = Annotated[
    str,
    typer.Option(help="Where images are scored: cpu, cuda, or cuda:1; a GPU scores every candidate on all of them."),
]

Images = Annotated[
    int,
    typer.Option(
        min=1, help="Size of the minibatch that Fisher Potential is taken on; the calibrated check takes its first 32."
    ),
]


def input_shape(text: str | None) -> tuple[int, int, int, int] | None:
    """``1,3,32,32`` as integers.

    Raises ArgumentError unless there are four positive integers.
    """
    if text is None:
        return None
    parts = text.replace("x", ",").split(",")
    if len(parts) != 4 or not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise ArgumentError(f"--input {text!r} is not a shape; give four positive integers N,C,H,W such as 1,3,32,32")
    n, channels, height, width = (int(part) for part in parts)
    return n, channels, height, width


def names(text: str | None) -> list[str] | None:
    """``a,b`` as a list."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]
