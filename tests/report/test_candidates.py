from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from loopwright.report.candidates import candidates
from loopwright.report.figures import sequences
from loopwright.report.quantities import non_dominated
from tests.report.example import empty_run, example_run


def test_every_candidate_is_a_row_after_the_original():
    rows = candidates(example_run())
    assert [row["candidate"] for row in rows] == list(range(1001))
    assert Counter(row["status"] for row in rows) == {
        "original": 1,
        "chosen": 1,
        "timed": 15,
        "accepted, not timed": 74,
        "rejected": 910,
    }
    assert rows[0]["latency_ms"] == pytest.approx(32 * 0.38)
    assert rows[0]["fisher_ratio"] == 1


def test_the_front_is_what_nothing_dominates():
    rows = candidates(example_run())
    timed = [row for row in rows if row["latency_ms"] is not None]

    def dominated(row):
        return any(
            other["latency_ms"] <= row["latency_ms"]
            and other["fisher_ratio"] >= row["fisher_ratio"]
            and (other["latency_ms"], other["fisher_ratio"]) != (row["latency_ms"], row["fisher_ratio"])
            for other in timed
        )

    assert [row["candidate"] for row in timed if not dominated(row)] == [
        row["candidate"] for row in rows if row["on_front"]
    ]


def test_more_or_less_may_be_better():
    points = [(1.0, 1.0), (2.0, 2.0), (2.0, 3.0), (3.0, 0.5)]
    assert non_dominated(points, lower=False) == [0, 2]
    assert non_dominated(points, lower=True) == [0, 3]


def test_sequences_are_counted_over_the_layers():
    run = example_run()
    counts = {row["sequence"]: row["layers_of_chosen"] for row in sequences.numbers(run)}
    assert sum(counts.values()) == len(run.layers)
    assert counts["unchanged"] == sum(not layer.changed for layer in run.layers)
    assert counts["grouped(2)"] == sum(layer.sequence == "group(co, ci, 2)" for layer in run.layers)


def test_an_original_that_was_not_timed_has_no_latency():
    run = example_run()
    layers = (replace(run.layers[0], latency_before_ms=None), *run.layers[1:])
    assert candidates(replace(run, layers=layers))[0]["latency_ms"] is None


def test_a_run_without_candidates_has_no_front():
    assert candidates(empty_run()) == []
