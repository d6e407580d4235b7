"""A comparison with stock runtimes: as a table, as a sentence, and as numbers."""

from __future__ import annotations

from rich import box
from rich.table import Table

from loopwright.baselines.participant import OURS
from loopwright.baselines.result import NetworkBenchmark, ParticipantResult
from loopwright.report import formats
from loopwright.report.numbers import Cell, Rows
from loopwright.targets.target import FLOAT32

HEADINGS = (
    "participant",
    "version",
    "precision",
    "median, ms",
    "quartiles, ms",
    "against ours",
    "difference",
    "set-up, s",
)


def table(benchmark: NetworkBenchmark) -> Table:
    """One row a participant, the fastest first; `reasons` has those without a median."""
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in HEADINGS:
        drawn.add_column(heading, justify="left" if heading in HEADINGS[:3] else "right", no_wrap=heading != "version")
    for result in benchmark.ranked:
        if result.median_ms is not None:
            drawn.add_row(*_cells(result, benchmark.ours.median_ms))
    return drawn


def reasons(benchmark: NetworkBenchmark) -> list[str]:
    """A line for each participant that has no median."""
    return [f"{result.name}: {result.reason}" for result in benchmark.results if result.reason]


def summary(benchmark: NetworkBenchmark) -> str:
    """Ours against the best peer, in one sentence."""
    ours, best, precision = benchmark.ours.median_ms, benchmark.best_peer, benchmark.ours.precision or FLOAT32
    runs_on = benchmark.environment.get("gpu") or formats.threads(benchmark.threads)
    name = f"{benchmark.model} at {formats.shape(benchmark.input_shape)}, {runs_on}, {precision}"
    if ours is None:
        return f"{name}: loopwright has no timing: {benchmark.ours.reason}"
    if best is None or best.median_ms is None:
        return f"{name}: loopwright {formats.milliseconds(ours)} ms, no {precision} peer"
    peer = f"{best.name} {formats.milliseconds(best.median_ms)} ms"
    return f"{name}: loopwright {formats.milliseconds(ours)} ms, best peer {peer}: {against(best.median_ms, ours)}"


def compared(benchmark: NetworkBenchmark) -> list[str]:
    """A sentence for each optimized network that was timed beside ours and the best peer."""
    best = benchmark.best_peer
    others = [(OURS, benchmark.ours.median_ms), *([(best.name, best.median_ms)] if best else [])]
    lines = []
    for result in benchmark.results:
        if result.stock or result.name == OURS or result.median_ms is None:
            continue
        ratios = [f"{formats.ratio(ms, result.median_ms)} as fast as {name}" for name, ms in others if ms is not None]
        lines.append(f"{result.name}: {formats.milliseconds(result.median_ms)} ms, {', '.join(ratios)}")
    return lines


def against(latency_ms: float, ours_ms: float) -> str:
    """How a peer compares with ours.

    >>> against(11.5, 10.0), against(8.0, 10.0), against(10.0, 10.0)
    ('1.15× slower', '1.25× faster', 'equal')
    """
    if f"{max(latency_ms / ours_ms, ours_ms / latency_ms):.2f}" == "1.00":
        return "equal"
    if latency_ms > ours_ms:
        return f"{formats.ratio(latency_ms, ours_ms)} slower"
    return f"{formats.ratio(ours_ms, latency_ms)} faster"


def rows(benchmark: NetworkBenchmark) -> Rows:
    """One row a sample, with the environment; a participant without samples has one row with its reason."""
    shared: dict[str, Cell] = {
        "model": benchmark.model,
        "input": formats.shape(benchmark.input_shape),
        **{f"environment_{name}": value for name, value in benchmark.environment.items()},
    }
    return [{**row, **shared} for result in benchmark.results for row in _samples(result)]


def _samples(result: ParticipantResult) -> list[dict[str, Cell]]:
    taken: list[tuple[int | None, float | None]] = [*enumerate(result.samples_ms, 1)] or [(None, None)]
    return [
        {
            "participant": result.name,
            "version": result.version,
            "precision": result.precision,
            "round": number,
            "latency_ms": latency_ms,
            "setup_s": result.setup_s,
            "difference": result.difference,
            "reason": result.reason,
        }
        for number, latency_ms in taken
    ]


def _cells(result: ParticipantResult, ours_ms: float | None) -> list[str]:
    """A row of the table, of a participant that has a median."""
    median_ms = result.median_ms or 0.0
    quartiles = "-".join(formats.milliseconds(quartile) for quartile in result.quartiles_ms)
    compared = "" if ours_ms is None or result.median_ms == ours_ms else against(median_ms, ours_ms)
    difference = "-" if result.difference is None else f"{result.difference:.0e}"
    setup = "-" if result.setup_s is None else f"{result.setup_s:.1f}"
    return [
        result.name, result.version, result.precision, formats.milliseconds(median_ms), quartiles, compared, difference,
        setup,
    ]  # fmt: skip
