"""Operators against the machine's peak: as a table and as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

from loopwright.report import formats
from loopwright.report.numbers import Cell, Rows

if TYPE_CHECKING:
    from loopwright.baselines.operators import OperatorFigures, OperatorRow

HEADINGS = (
    "MACs",
    "warm, ms",
    "GFLOP/s",
    "of peak",
    "cold, ms",
    "of peak",
    "level",
    "of bandwidth",
    "of a copy",
    "tuned, s",
)

NOTE = (
    "Shares of the peak count the operator's own multiply-accumulates: an algorithm that needs fewer, such as "
    "Winograd's, may pass 100 %. Warm: the same weights in every call; cold: others. Where there is little arithmetic "
    "a byte, the bytes of input, output and weights are compared with the bandwidth of copies (a copy of N bytes moves "
    "2 N) in the cache level that holds them, and the latency with that of one call that copies as many."
)


def operator_table(rows: Sequence[OperatorRow]) -> Table:
    """One line an operator; one that could not be timed says why."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("operator")
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading == "level" else "right", no_wrap=True)
    table.add_column("schedule, warm")
    for row in rows:
        cells = [""] * len(HEADINGS) if row.figures is None else _cells(row, row.figures)
        table.add_row(_name(row), *cells, row.figures.schedule if row.figures else row.reason)
    return table


def operator_rows(rows: Sequence[OperatorRow]) -> Rows:
    """Every figure; shares are fractions."""
    return [_numbers(row) for row in rows]


def _name(row: OperatorRow) -> str:
    return row.operator if row.sequence == "identity" else f"{row.operator} | {row.sequence}"


def _cells(row: OperatorRow, figures: OperatorFigures) -> list[str]:
    memory = [_percent(row.share_of_bandwidth), _percent(row.share_of_copy)] if row.moves_much else ["-", "-"]
    return [
        formats.count(row.macs),
        formats.milliseconds(figures.warm.median_ms),
        formats.significant(row.gflops(figures.warm)),
        _percent(row.share_of_peak(figures.warm)),
        formats.milliseconds(figures.cold.median_ms),
        _percent(row.share_of_peak(figures.cold)),
        row.level,
        *memory,
        formats.significant(figures.tuning_s, 2),
    ]


def _numbers(row: OperatorRow) -> dict[str, Cell]:
    known: dict[str, Cell] = {
        "operator": row.operator,
        "sequence": row.sequence,
        "macs": row.macs,
        "memory_bytes": row.memory_bytes,
        "level": row.level,
        "reason": row.reason,
    }
    return known | (dict.fromkeys(_MEASURED) if row.figures is None else _measured(row, row.figures))


def _measured(row: OperatorRow, figures: OperatorFigures) -> dict[str, Cell]:
    values: tuple[Cell, ...] = (  # in the order of _MEASURED
        figures.schedule,
        figures.cold_schedule,
        round(figures.tuning_s, 3),
        figures.warm.median_ms,
        figures.cold.median_ms,
        len(figures.warm.samples_ms),
        figures.peak_gflops,
        row.gflops(figures.warm),
        row.share_of_peak(figures.warm),
        row.share_of_peak(figures.cold),
        figures.bandwidth_gbps,
        row.share_of_bandwidth,
        row.share_of_copy,
        row.moves_much,
    )
    return dict(zip(_MEASURED, values, strict=True))


_MEASURED = (
    "schedule",
    "cold_schedule",
    "tuning_s",
    "warm_ms",
    "cold_ms",
    "samples",
    "peak_gflops",
    "warm_gflops",
    "warm_share_of_peak",
    "cold_share_of_peak",
    "bandwidth_gbps",
    "share_of_bandwidth",
    "share_of_copy",
    "moves_much",
)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
