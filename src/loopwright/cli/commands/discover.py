"""``loopwright discover``: the operators that short sequences make of one operator."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from loopwright.errors import ArgumentError


def command(
    operator: Annotated[
        str,
        typer.Option(
            metavar="OPERATOR",
            help="What to begin with: 'conv2d(co=64, ci=64, oh=32, ow=32, kh=3, kw=3)'.",
            show_default=False,
        ),
    ],
    max_steps: Annotated[
        int, typer.Option(min=1, help="Most steps of a sequence, each reorder that a neural step needs included.")
    ] = 5,
    neural: Annotated[int, typer.Option(min=1, help="Most neural steps among them.")] = 2,
    program: Annotated[int, typer.Option(min=0, help="Most program steps other than reorders among them.")] = 1,
    factors: Annotated[
        str, typer.Option(metavar="F,F,...", help="Factors to try; a loop that none of them divides is taken whole.")
    ] = "2,4",
    unroll: Annotated[int, typer.Option(min=1, help="Iterations that unroll peels.")] = 16,
    top: Annotated[int, typer.Option(min=0, help="How many new operators to print, those with the fewest MACs.")] = 20,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write all operators to this file.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes to run; without it, one for each processor.")
    ] = None,
) -> None:
    """List the operators that short sequences make of one.

    All sequences within the bounds are enumerated; those that make equal operators count as one, the shortest is
    shown. Known operators have the name of a recipe and come first.
    """
    from loopwright import operators
    from loopwright.cli.console import output_console
    from loopwright.cli.progress import progress_on
    from loopwright.report import discovery as report
    from loopwright.report.numbers import write_csv
    from loopwright.search.discover import discover
    from loopwright.search.expansion import Bounds

    bounds = Bounds(max_steps, neural, program, _factors(factors), unroll)
    parsed = operators.parse(operator)
    if csv is not None and not csv.parent.is_dir():
        raise ArgumentError(f"--csv {csv}: there is no folder {csv.parent}")
    with progress_on(output_console(stderr=True)) as progress:
        found = discover(parsed, bounds, workers or os.cpu_count() or 1, progress)
    output_console().print(report.table(found, top))
    for line in report.summary(found):
        typer.echo(line)
    if csv is not None:
        write_csv(csv, report.rows(found))
        typer.echo(f"all operators: {csv}")


def _factors(text: str) -> tuple[int, ...]:
    """``2,4`` as integers, in order and each once.

    Raises ArgumentError unless all are integers of at least 2.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) >= 2 for part in parts):
        raise ArgumentError(f"--factors {text!r} must be integers of at least 2, such as 2,4")
    return tuple(sorted({int(part) for part in parts}))
