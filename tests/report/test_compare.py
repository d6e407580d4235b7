from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import pytest

from loopwright.report.compare import common_height, front_rows, run_rows, write_comparison
from loopwright.report.page import write_report
from loopwright.report.summary import RunSummary
from tests.report.example import empty_run, example_run
from tests.report.html import read


@pytest.fixture
def runs(tmp_path: Path) -> dict[Path, RunSummary]:
    return {tmp_path / "first": example_run(), tmp_path / "second": replace(example_run(1), command="second & <last>")}


def with_drop(run: RunSummary) -> RunSummary:
    candidates = tuple(
        replace(candidate, scores={**candidate.scores, "predicted_drop": 0.5}) for candidate in run.candidates
    )
    return replace(run, candidates=candidates)


def test_each_run_is_a_row(runs: dict[Path, RunSummary]):
    rows = run_rows(runs, "fisher_ratio")
    assert [row["run"] for row in rows] == [str(folder) for folder in runs]
    first = example_run()
    assert rows[0]["speedup"] == first.speedup
    assert rows[0]["chosen_macs"] == first.chosen.macs
    assert rows[0]["fisher_ratio"] == pytest.approx(first.chosen.fisher_potential / first.original.fisher_potential)


def test_the_original_has_the_height_of_a_run_that_chose_nothing(runs: dict[Path, RunSummary]):
    [run] = list(runs.values())[:1]
    unchosen = replace(run, candidates=tuple(replace(candidate, chosen=False) for candidate in run.candidates))
    assert run_rows({Path("run"): unchosen}, "fisher_ratio")[0]["fisher_ratio"] == 1


def test_runs_are_compared_by_what_all_have(runs: dict[Path, RunSummary]):
    assert common_height(runs) == "fisher_ratio"
    assert common_height({folder: with_drop(run) for folder, run in runs.items()}) == "predicted_drop"
    first, second = runs
    assert common_height({first: with_drop(runs[first]), second: runs[second]}) == "fisher_ratio"
    assert common_height({**runs, Path("empty"): empty_run()}) == ""


def test_fronts_are_each_run_s_own(runs: dict[Path, RunSummary]):
    rows = front_rows(runs, "fisher_ratio")
    assert len(rows) == 2 * 17
    for folder in runs:
        own = [row for row in rows if row["run"] == str(folder)]
        best = max(own, key=lambda row: row["fisher_ratio"])
        fastest = min(own, key=lambda row: row["latency_ms"])
        assert best["on_front"]
        assert fastest["on_front"]
        assert own[0]["relative_latency"] == 1


def test_the_page_stands_alone_beside_its_numbers(runs: dict[Path, RunSummary], tmp_path: Path):
    first = next(iter(runs))
    write_report(runs[first], first)
    write_comparison(runs, tmp_path / "compare.html")
    page = read(tmp_path / "compare.html")
    assert [link for link in page.links if not link.startswith("data:")] == ["first/report.html"]
    text = re.sub(r"\s+", " ", page.text)
    for expected in ("2 runs compared", "2.82×", "second & <last>", "Fisher Potential, ratio to the original's"):
        assert expected in text
    written = list(csv.DictReader(io.StringIO((tmp_path / "compare-runs.csv").read_text())))
    assert [row["run"] for row in written] == [str(folder) for folder in runs]
    assert len((tmp_path / "compare-fronts.csv").read_text().splitlines()) == 1 + 2 * 17


def test_runs_without_a_front_are_compared_by_their_table(tmp_path: Path):
    write_comparison({tmp_path / "first": empty_run(), tmp_path / "second": example_run()}, tmp_path / "compare.html")
    assert "Fronts" not in read(tmp_path / "compare.html").text
    assert (tmp_path / "compare-fronts.csv").read_text() == ""
