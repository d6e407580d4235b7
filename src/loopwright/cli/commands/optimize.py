"""``loopwright optimize``: the main job."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from loopwright.cli.given import require_nothing_beside_resume
from loopwright.cli.options import (
    MODEL_HELP,
    Data,
    Images,
    InputShape,
    Json,
    Log,
    Precision,
    ProgressOption,
    ProgressStyle,
    Seed,
    StoreAddress,
    Weights,
    input_shape,
)
from loopwright.cli.watching import watched
from loopwright.errors import ArgumentError
from loopwright.report.folder import require_free
from loopwright.search.budget import OPERATORS
from loopwright.search.run_folder import RunState, how_to_resume

if TYPE_CHECKING:
    from loopwright.report.summary import RunSummary
    from loopwright.search.progress import Progress

DEVICE_HELP = (
    "Where images are scored: cpu, cuda, or cuda:1 (without it, the GPU that is the target, or the processor); a GPU "
    "scores every candidate on all of them."
)
WITH_RESUME = ("store", "workers", "ray", "retry-failures", "kernels", "json", "progress", "log")
"""Options that a run that goes on takes beside --resume."""


def command(
    context: typer.Context,
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help=MODEL_HELP, show_default=False)] = None,
    out: Annotated[Path | None, typer.Option(metavar="FOLDER", help="A new folder for the result.")] = None,
    target: Annotated[
        str, typer.Option(help="The hardware to be fast on: cpu, or cuda for the NVIDIA GPU that is here.")
    ] = "cpu",
    precision: Precision = "float32",
    data: Data = None,
    strategy: Annotated[
        str, typer.Option(help="How to look for the best network: exact, evolution or random (the paper's).")
    ] = "exact",
    configurations: Annotated[
        int, typer.Option(min=1, help="How many configurations of the network to draw at most.")
    ] = 1000,
    operators: Annotated[
        int,
        typer.Option(
            min=1, help="How many operators to time at most, beside the network's own and what others leave of these."
        ),
    ] = OPERATORS,
    seconds: Annotated[
        float | None,
        typer.Option(help="Take the best found after so many seconds, counted anew by --resume.", show_default=False),
    ] = None,
    parameters: Annotated[
        float, typer.Option(help="The most parameters of the result, as a share of the original's.")
    ] = 1.0,
    images: Images = 128,
    seed: Seed = 0,
    device: Annotated[str | None, typer.Option(help=DEVICE_HELP)] = None,
    legality: Annotated[
        str,
        typer.Option(help="What candidates are held to: calibrated (the predicted accuracy) or fisher (the paper's)."),
    ] = "calibrated",
    tolerance: Annotated[
        float,
        typer.Option(
            help="Points of accuracy that the calibrated check lets a network lose after four epochs of training; "
            "after 60 epochs about a quarter of that was lost."
        ),
    ] = 1.0,
    calibration: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Table of trained networks to learn from instead of the packaged one."),
    ] = None,
    weights: Weights = None,
    store: StoreAddress = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that judge candidates; without it, one for each processor.")
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Judge on a Ray cluster: HOST:PORT of its head, auto for the one on this machine, local to start one "
            "here. Timing stays on this machine.",
        ),
    ] = None,
    shape: InputShape = None,
    retry_failures: Annotated[
        bool, typer.Option("--retry-failures", help="Try again what an earlier run could not time.")
    ] = False,
    kernels: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Where what is built for a GPU is kept and found again, also what loopwright build made elsewhere; "
            "nothing is kept without it.",
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Go on with the run that was given this --out and was ended before its end. It keeps its arguments; "
            f"only {', '.join(f'--{name}' for name in WITH_RESUME)} may be given anew.",
        ),
    ] = None,
    json: Json = False,
    progress: ProgressOption = ProgressStyle.AUTO,
    log: Log = None,
) -> None:
    """Make a network faster on a target.

    Operators that its layers can become are derived and timed; a search chooses one for every layer. Candidates are
    judged by structure and predicted accuracy; the fastest legal one is compared with the original and delivered with
    a report.
    """
    if resume is not None:
        require_nothing_beside_resume(context, WITH_RESUME)
        _resume(resume, store, workers, ray, retry_failures, kernels, json, progress, log)
        return
    if model is None or out is None:
        missing = "argument 'MODEL'" if model is None else "option '--out'"
        raise ArgumentError(f"Missing {missing}; to go on with a run, give --resume FOLDER")
    require_free(out)
    wanted_shape = input_shape(shape)

    from loopwright.api import optimize

    with _watched(out, progress, log) as watched:
        found = optimize(
            model,
            wanted_shape,
            target=target,
            precision=precision,
            out=out,
            data=data,
            strategy=strategy,
            configurations=configurations,
            operators=operators,
            seconds=seconds,
            parameters=parameters,
            images=images,
            seed=seed,
            device=device,
            legality=legality,
            tolerance=tolerance,
            calibration=calibration,
            weights=weights,
            store=store,
            workers=workers,
            ray=ray,
            retry_failures=retry_failures,
            kernels=kernels,
            progress=watched,
            command=context.obj,
        )
    _show(found.summary, out, json)


def _resume(
    folder: Path,
    store: str | None,
    workers: int | None,
    ray: str | None,
    retry_failures: bool,
    kernels: Path | None,
    json: bool,
    progress: ProgressStyle,
    log: Path | None,
) -> None:
    state = RunState.read(folder)
    if state is not None and state.finished:
        typer.echo(f"the run in {folder} is finished; its report is {folder / 'report.html'}", err=json)
        return

    from loopwright.api import resume

    with _watched(folder, progress, log) as watched:
        found = resume(
            folder, store=store, workers=workers, ray=ray, retry_failures=retry_failures, kernels=kernels,
            progress=watched,
        )  # fmt: skip
    _show(found.summary, folder, json)


def _watched(folder: Path, style: ProgressStyle, log: Path | None) -> AbstractContextManager[Progress]:
    def how_to_go_on() -> str | None:
        return None if RunState.read(folder) is None else how_to_resume(folder)

    return watched(how_to_go_on, style, log)


def _show(summary: RunSummary, out: Path, json: bool) -> None:
    if json:
        from loopwright.report.serialisation import to_json

        typer.echo(to_json(summary), nl=False)
        return
    from loopwright.cli.console import output_console
    from loopwright.report import tables

    console = output_console()
    for table in (tables.layer_table, tables.funnel_table, tables.comparison_table):
        console.print(table(summary))
    if summary.changed:
        typer.echo(f"to train it: loopwright train {quote(str(out))} --data FOLDER")
    typer.echo(f"report: {out / 'report.html'}")
    typer.echo(tables.speedup_line(summary))
