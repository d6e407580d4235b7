from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from loopwright.baselines.operators import OperatorFigures, OperatorRow
from loopwright.measurement.timer import Measurement, Protocol
from loopwright.report.numbers import write_csv
from loopwright.report.operators import NOTE, operator_rows, operator_table

FIGURES = OperatorFigures(
    schedule="lanes=16 channels=1",
    cold_schedule="lanes=16 channels=2",
    tuning_s=0.51,
    warm=Measurement((0.5, 0.1, 0.1), Protocol()),
    cold=Measurement((0.2, 0.2, 0.2), Protocol()),
    peak_gflops=500.0,
    bandwidth_gbps=100.0,
    copy_ms=0.05,
)
DENSE = OperatorRow("conv2d(co=64)", "identity", 20_000_000, 1_000_000, "L2", FIGURES)
DEPTHWISE = OperatorRow("conv2d(co=32)", "depthwise(co, ci)", 2_000_000, 5_000_000, "beyond L2", FIGURES)
FAILED = OperatorRow("conv2d(co=8)", "identity", 1000, 4000, "L1", None, "does not compile")


def lines() -> list[str]:
    console = Console(width=220)
    with console.capture() as capture:
        console.print(operator_table([DENSE, DEPTHWISE, FAILED]))
    return capture.get().splitlines()


def line(start: str) -> list[str]:
    return next(line for line in lines() if line.strip().startswith(start)).split()


def test_a_row_has_its_rates_and_shares_warm_and_cold() -> None:
    text = " ".join(line("conv2d(co=64)"))
    assert "20.0 M 0.100 400 80 % 0.200 40 % L2 - - 0.51 lanes=16 channels=1" in text


def test_little_arithmetic_a_byte_is_compared_with_copies() -> None:
    text = " ".join(line("conv2d(co=32)"))
    assert "conv2d(co=32) | depthwise(co, ci) 2.00 M 0.100 40.0 8 % 0.200 4 % beyond L2 50 % 50 %" in text


def test_an_operator_that_could_not_be_timed_says_why() -> None:
    assert " ".join(line("conv2d(co=8)")) == "conv2d(co=8) does not compile"


def test_the_note_says_that_the_peak_can_be_passed() -> None:
    assert "Winograd's, may pass 100 %" in NOTE


def test_the_csv_has_every_figure(tmp_path: Path) -> None:
    faster = replace(DENSE, macs=30_000_000)
    write_csv(tmp_path / "operators.csv", operator_rows([faster, DEPTHWISE, FAILED]))
    with (tmp_path / "operators.csv").open() as file:
        first, second, failed = csv.DictReader(file)
    assert float(first["warm_share_of_peak"]) == 1.2
    assert (second["share_of_bandwidth"], second["share_of_copy"], second["moves_much"]) == ("0.5", "0.5", "True")
    assert (failed["warm_ms"], failed["reason"]) == ("", "does not compile")
