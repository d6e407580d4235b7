from __future__ import annotations

import csv
from pathlib import Path

from loopwright.baselines.result import NetworkBenchmark, ParticipantResult
from loopwright.report import benchmark as report
from loopwright.report.numbers import write_csv
from tests.report.test_tables import printed

FOUND = NetworkBenchmark(
    "resnet34",
    (1, 3, 32, 32),
    2,
    {"processor": "a processor"},
    (
        ParticipantResult("eager", "2.13.0", "float32", (27.0, 28.0, 26.0), 0.1, 0.0),
        ParticipantResult("onnxruntime", "1.32.0", "float32", (11.5, 11.4, 11.6), 0.2, 2e-7),
        ParticipantResult("openvino", "2026.4.1", "bfloat16", (8.0,), 0.5, 3e-3),
        ParticipantResult("metaschedule", "", reason="ended by SIGSEGV"),
        ParticipantResult("loopwright", "0.1.0", "float32", (10.0, 9.0, 12.0), 42.0, 3e-7, stock=False),
    ),
)


def test_the_table_has_the_fastest_first_and_compares_with_ours():
    text = printed(report.table(FOUND))
    order = [text.index(name) for name in ("openvino", "loopwright", "onnxruntime", "eager")]
    assert order == sorted(order)
    for expected in ("1.25× faster", "1.15× slower", "2.70× slower", "9.50-11.0", "bfloat16", "3e-03", "42.0"):
        assert expected in text
    assert "metaschedule" not in text
    assert report.reasons(FOUND) == ["metaschedule: ended by SIGSEGV"]


def test_the_sentence_is_about_the_best_peer():
    assert report.summary(FOUND) == (
        "resnet34 at 1×3×32×32, 2 threads, float32: loopwright 10.0 ms, best peer onnxruntime 11.5 ms: 1.15× slower"
    )


def test_the_sentence_says_why_there_is_no_timing():
    failed = ParticipantResult("loopwright", "0.1.0", reason="ValueError: no", stock=False)
    found = NetworkBenchmark("resnet34", (1, 3, 32, 32), 2, {}, (*FOUND.results[:-1], failed))
    assert report.summary(found).endswith("loopwright has no timing: ValueError: no")
    assert "slower" not in printed(report.table(found))


def test_an_optimized_network_is_held_against_ours_and_the_best_peer():
    chosen = ParticipantResult("runs/fast", "0.1.0", "float32", (4.0,), 1.0, stock=False)
    found = NetworkBenchmark("resnet34", (1, 3, 32, 32), 2, {}, (*FOUND.results, chosen))
    assert report.compared(FOUND) == []
    assert report.compared(found) == ["runs/fast: 4.00 ms, 2.50× as fast as loopwright, 2.88× as fast as onnxruntime"]
    assert report.summary(found) == report.summary(FOUND), "it is no peer"


def test_the_csv_has_every_sample_with_the_environment(tmp_path: Path):
    write_csv(tmp_path / "all.csv", report.rows(FOUND))
    with (tmp_path / "all.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 + 3 + 1 + 1 + 3
    assert [row["latency_ms"] for row in rows[:3]] == ["27.0", "28.0", "26.0"]
    assert [row["round"] for row in rows[:3]] == ["1", "2", "3"]
    failed = next(row for row in rows if row["participant"] == "metaschedule")
    assert (failed["latency_ms"], failed["reason"]) == ("", "ended by SIGSEGV")
    assert all(row["environment_processor"] == "a processor" for row in rows)
