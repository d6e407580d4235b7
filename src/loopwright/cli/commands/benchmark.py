"""``loopwright benchmark``: ours beside stock runtimes, or operators beside the machine's peak."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loopwright.cli.options import InputShape, Seed, input_shape
from loopwright.errors import ArgumentError, LoopwrightError

if TYPE_CHECKING:
    from loopwright.targets.target import Target

MODEL_HELP = (
    "A known name such as resnet34, path/to/file.py:factory, package.module:factory, or a folder that optimize wrote. "
    "Or an operator, 'conv2d(co=64, ...)' or 'conv2d(co=64, ...) | group(co, ci, 2)', or the word operators for a suite "
    "of them."
)
PEERS_HELP = "Some of eager, compile, onnxruntime, openvino, openvino-f32, metaschedule; without it, all."


def command(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=MODEL_HELP, show_default=False)],
    shape: InputShape = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of every participant; without it, one for each processor.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How many samples each participant takes.")] = 15,
    peers: Annotated[str | None, typer.Option(metavar="NAME,NAME,...", help=PEERS_HELP)] = None,
    trials: Annotated[int, typer.Option(min=0, help="Trials of TVM's MetaSchedule, which is left out at 0.")] = 0,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write all samples to this file.")] = None,
    store: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where our timings are kept and found again; a file in the user's cache folder without it.",
        ),
    ] = None,
    target: Annotated[str, typer.Option(help="The hardware to generate our code for.")] = "cpu",
    seed: Seed = 0,
) -> None:
    """Time a network on Loopwright and on stock runtimes.

    All participants take turns in one run, with the same weights, input and threads, each in a process of its own. Our
    network and PyTorch's eager one always take part: the one is what the others are compared with, the other's outputs
    are what all outputs are compared with. The peers come with pip install 'loopwright[peers]'.
    """
    from loopwright.baselines.task import runnable

    wanted_shape, hardware = input_shape(shape), runnable(target, threads)
    if csv is not None and not csv.parent.is_dir():
        raise ArgumentError(f"--csv {csv}: there is no folder {csv.parent}")
    if model == "operators" or "(" in model:
        _operators(model, hardware, rounds, csv)
        return
    names = None if peers is None else [name.strip() for name in peers.split(",") if name.strip()]
    with tempfile.TemporaryDirectory(prefix="loopwright-") as folder:
        _network(model, wanted_shape, hardware, rounds, names, trials, csv, store, seed, Path(folder))


def _network(
    model: str,
    shape: tuple[int, ...] | None,
    hardware: Target,
    rounds: int,
    peers: list[str] | None,
    trials: int,
    csv: Path | None,
    store: Path | None,
    seed: int,
    folder: Path,
) -> None:
    from dataclasses import replace

    from loopwright.baselines.networks import NETWORK_PROTOCOL, benchmark_network
    from loopwright.baselines.participant import chosen
    from loopwright.baselines.task import Task, input_shape_of
    from loopwright.cli.console import output_console
    from loopwright.cli.progress import progress_on
    from loopwright.report import benchmark as report
    from loopwright.report.numbers import write_csv

    participants = chosen(peers, trials)
    network = Task(model, input_shape_of(model, shape), hardware.name, hardware.threads, folder, store, trials, seed)
    with progress_on(output_console(stderr=True)) as progress:
        found = benchmark_network(network, participants, progress, replace(NETWORK_PROTOCOL, rounds=rounds))
    output_console().print(report.table(found))
    if csv is not None:
        write_csv(csv, report.rows(found))
        typer.echo(f"all samples: {csv}")
    if found.ours.reason:
        raise LoopwrightError(report.summary(found))
    typer.echo(report.summary(found))


def _operators(model: str, hardware: Target, rounds: int, csv: Path | None) -> None:
    raise ArgumentError("operators are not compared yet")
