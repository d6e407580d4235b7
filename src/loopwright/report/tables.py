"""The report's numbers as Rich tables for a terminal."""

from __future__ import annotations

from rich import box
from rich.table import Table

from loopwright.report import formats
from loopwright.report.comparison import comparison
from loopwright.report.summary import RunSummary


def comparison_table(summary: RunSummary) -> Table:
    """Original against chosen."""
    table = _table("", "original>", "chosen>", "change>")
    for line in comparison(summary):
        table.add_row(line.quantity, line.original, line.chosen, line.change)
    return table


def layer_table(summary: RunSummary) -> Table:
    """Every transformable layer with the sequence chosen for it; layers that were kept are dimmed."""
    table = _table("layer", "sequence~", "MACs>", "parameters>", "latency, ms>")
    for layer in summary.layers:
        table.add_row(
            layer.name,
            layer.sequence,
            _change(formats.count(layer.macs_before), formats.count(layer.macs_after)),
            _change(formats.count(layer.parameters_before), formats.count(layer.parameters_after)),
            _change(formats.milliseconds(layer.latency_before_ms), formats.milliseconds(layer.latency_after_ms)),
            style=None if layer.changed else "dim",
        )
    return table


def funnel_table(summary: RunSummary) -> Table:
    """How many candidates each check left, and what it stopped most."""
    table = _table("candidates", "left>", "stopped here, most frequent reasons first~")
    for stage in summary.funnel:
        reasons = "; ".join(f"{rejection.count} {rejection.reason}" for rejection in stage.rejections[:3])
        table.add_row(stage.name, str(stage.count), reasons)
    return table


def speedup_line(summary: RunSummary) -> str:
    """The one sentence that a run ends with."""
    if not summary.changed:
        latency = formats.milliseconds(summary.original.latency_ms)
        return (
            f"no legal candidate is faster than {summary.model} on {summary.target} ({latency} ms): it stays as it is"
        )
    return (
        f"{summary.model} is {summary.speedup:.2f} times faster on {summary.target}: "
        f"{formats.milliseconds(summary.original.latency_ms)} ms -> "
        f"{formats.milliseconds(summary.chosen.latency_ms)} ms, "
        "against the same network compiled by the same route without neural steps"
    )


def _table(*headings: str) -> Table:
    """A table; ``>`` after a heading aligns its column to the right, ``~`` lets it wrap."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        justify = "right" if heading.endswith(">") else "left"
        table.add_column(heading.rstrip(">~"), justify=justify, no_wrap=not heading.endswith("~"))  # type: ignore[arg-type]
    return table


def _change(before: str, after: str) -> str:
    return before if before == after else f"{before} → {after}"
