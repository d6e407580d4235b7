from __future__ import annotations

import csv
from pathlib import Path

from loopwright.report import numbers
from tests.report.example import example_run


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_rows_come_back_from_a_file(tmp_path: Path):
    path = tmp_path / "rows.csv"
    numbers.write_csv(path, [{"sequence": "group(co, ci, 2)", "latency_ms": 0.5}, {"sequence": "", "latency_ms": None}])
    assert read(path) == [{"sequence": "group(co, ci, 2)", "latency_ms": "0.5"}, {"sequence": "", "latency_ms": ""}]


def test_an_empty_table_is_an_empty_file(tmp_path: Path):
    numbers.write_csv(tmp_path / "rows.csv", [])
    assert (tmp_path / "rows.csv").read_text() == ""


def test_both_networks_are_listed():
    rows = numbers.networks(example_run())
    assert [(row["network"], row["samples"], row["macs"]) for row in rows] == [
        ("original", 40, 1_159_475_200),
        ("chosen", 40, 402_915_328),
    ]


def test_every_layer_is_listed():
    summary = example_run()
    assert [row["name"] for row in numbers.layers(summary)] == [layer.name for layer in summary.layers]
