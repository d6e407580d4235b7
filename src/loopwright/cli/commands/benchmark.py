"""``loopwright benchmark``: ours beside stock runtimes, or operators beside the machine's peak."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loopwright.cli.options import InputShape, Precision, Seed, StoreAddress, input_shape, names
from loopwright.errors import ArgumentError, LoopwrightError

if TYPE_CHECKING:
    from loopwright.baselines.participant import Participant
    from loopwright.baselines.result import NetworkBenchmark
    from loopwright.baselines.task import Task
    from loopwright.targets.target import Target

MODEL_HELP = (
    "A known name such as resnet34, path/to/file.py:factory, package.module:factory, or a folder that optimize wrote. "
    "Or an operator, 'conv2d(co=64, ...)' or 'conv2d(co=64, ...) | group(co, ci, 2)', or the word operators for a "
    "suite of them."
)
OPERATORS = "operators"
PEERS_HELP = (
    "Some of eager, compile, onnxruntime, openvino, openvino-f32, metaschedule, or for a GPU of eager, eager-tf32, "
    "eager-bf16, compile; without it, all."
)


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
    beside: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER,FOLDER,...", help="Folders that optimize wrote, of which the networks are timed as well."
        ),
    ] = None,
    store: StoreAddress = None,
    target: Annotated[str, typer.Option(help="The hardware: cpu, or cuda for the NVIDIA GPU that is here.")] = "cpu",
    precision: Precision = "float32",
    seed: Seed = 0,
) -> None:
    """Time a network on Loopwright and on stock runtimes.

    All participants take turns in one run, with the same weights, input and threads, each in a process of its own. Our
    network and PyTorch's eager one always take part: the one is what the others are compared with, the other's outputs
    are what all outputs are compared with. The peers come with pip install 'loopwright[peers]'.
    """
    wanted_shape = input_shape(shape)
    if csv is not None and not csv.parent.is_dir():
        raise ArgumentError(f"--csv {csv}: there is no folder {csv.parent}")

    from loopwright.baselines.beside import Beside
    from loopwright.baselines.participant import chosen
    from loopwright.baselines.task import Task, input_shape_of, runnable

    hardware = runnable(target, threads, precision)
    if model == OPERATORS or "(" in model:
        _operators(model, hardware, rounds, csv)
        return
    expected_shape = input_shape_of(model, wanted_shape)
    others = [Beside(folder, expected_shape) for folder in names(beside) or ()]
    participants = [*chosen(names(peers), trials, hardware), *others]
    with tempfile.TemporaryDirectory(prefix="loopwright-") as folder:
        task = Task(model, expected_shape, target, hardware.threads, Path(folder), store, trials, seed, precision)
        found = _timed(task, participants, rounds)
    _show(found, csv)


def _timed(task: Task, participants: list[Participant], rounds: int) -> NetworkBenchmark:
    from loopwright.baselines.networks import NETWORK_PROTOCOL, benchmark_network
    from loopwright.cli.console import output_console
    from loopwright.cli.progress import progress_on

    with progress_on(output_console(stderr=True)) as progress:
        return benchmark_network(task, participants, progress, replace(NETWORK_PROTOCOL, rounds=rounds))


def _show(found: NetworkBenchmark, csv: Path | None) -> None:
    """Prints the table and ends with one sentence; `LoopwrightError` where our own network failed."""
    from loopwright.cli.console import output_console
    from loopwright.report import benchmark as report
    from loopwright.report.numbers import write_csv

    output_console().print(report.table(found))
    for line in report.reasons(found):
        typer.echo(line)
    if csv is not None:
        write_csv(csv, report.rows(found))
        typer.echo(f"all samples: {csv}")
    if found.ours.reason:
        raise LoopwrightError(report.summary(found))
    typer.echo(report.summary(found))
    for line in report.compared(found):
        typer.echo(line)


def _operators(model: str, hardware: Target, rounds: int, csv: Path | None) -> None:
    from loopwright.baselines.operators import OPERATOR_SUITE, benchmark_operators
    from loopwright.cli.console import output_console
    from loopwright.cli.progress import progress_on
    from loopwright.report.numbers import write_csv
    from loopwright.report.operators import NOTE, operator_rows, operator_table

    cases = OPERATOR_SUITE if model == OPERATORS else (model,)
    with progress_on(output_console(stderr=True)) as progress:
        progress.stage("Operators", len(cases))
        rows = benchmark_operators(cases, hardware, rounds, lambda _: progress.advance())
    output_console().print(operator_table(rows))
    typer.echo(NOTE)
    for row in rows:
        for ignored in row.ignored:
            typer.echo(f"not followed in {row.operator}: {ignored}")
    if csv is not None:
        write_csv(csv, operator_rows(rows))
        typer.echo(f"all figures: {csv}")
