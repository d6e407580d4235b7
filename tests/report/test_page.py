from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from loopwright.report.figure import registered
from loopwright.report.page import write_page, write_report
from loopwright.report.serialisation import from_json
from tests.report.example import empty_run, example_run
from tests.report.html import read


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    write_report(example_run(), folder)
    return folder


def test_the_page_says_what_was_found(folder: Path):
    text = re.sub(r"\s+", " ", read(folder / "report.html").text)
    for expected in (
        "resnet34 runs 2.82× faster on cpu",
        "5.25 ms instead of 14.8 ms",
        "2.88× fewer",
        "legal by capacity",
    ):
        assert expected in text
    for layer in example_run().layers:
        assert layer.name in text


def test_the_page_needs_no_network_and_its_links_lead_somewhere(folder: Path):
    page = read(folder / "report.html")
    assert page.links
    for link in page.links:
        assert link.startswith("data:") or (link[0] == "#" and link[1:] in page.identifiers)
    assert len(set(page.identifiers)) == len(page.identifiers)
    assert (folder / "report.html").stat().st_size < 5_000_000


def test_the_csv_links_hold_the_files_of_the_folder(folder: Path):
    linked = [link.partition("base64,")[2] for link in read(folder / "report.html").links if "text/csv" in link]
    files = {path.read_bytes() for path in (folder / "numbers").iterdir()}
    assert {base64.b64decode(content) for content in linked} == files
    assert len(files) == len(linked) >= 6


def test_every_figure_is_there_with_its_numbers_beside(folder: Path):
    page = (folder / "report.html").read_text(encoding="utf-8")
    for figure in registered():
        assert f'id="figure-{figure.name}"' in page
        lines = (folder / "numbers" / f"{figure.name}.csv").read_text().splitlines()
        assert len(lines) == 1 + len(figure.numbers(example_run()))


def test_the_summary_lies_beside_the_page(folder: Path):
    assert from_json((folder / "summary.json").read_text()) == example_run()


def test_two_reports_of_one_run_are_the_same(folder: Path, tmp_path: Path):
    write_report(example_run(), tmp_path)
    assert (tmp_path / "report.html").read_bytes() == (folder / "report.html").read_bytes()


def test_a_run_that_found_nothing_has_a_page(tmp_path: Path):
    assert "drawn" in read(write_report(empty_run(), tmp_path)).text


def test_a_network_that_stays_as_it_is_is_not_called_faster(tmp_path: Path):
    run = example_run()
    kept = replace(run, layers=tuple(replace(layer, sequence="identity") for layer in run.layers))
    text = read(write_report(kept, tmp_path)).text
    assert "resnet34 stays as it is on cpu" in re.sub(r"\s+", " ", text)
    assert "faster on" not in text


NASTY = "</script><script>alert(1)</script><!-- & <b>"


def test_texts_are_escaped(tmp_path: Path):
    run = example_run()
    layers = (replace(run.layers[0], name=NASTY), *run.layers[1:])
    operators = tuple(replace(operator, name=NASTY) for operator in run.operators)
    rejected = tuple(replace(candidate, reason=candidate.reason and NASTY) for candidate in run.candidates)
    nasty = replace(run, command=NASTY, model=NASTY, layers=layers, operators=operators, candidates=rejected)
    page = write_report(nasty, tmp_path)
    assert "<script>alert(1)" not in page.read_text(encoding="utf-8")
    assert read(page).text.count(NASTY) >= 3


def test_the_script_has_the_nest_of_every_operator(folder: Path):
    data = json.loads(read(folder / "report.html").data)
    run = example_run()
    assert len(data["operators"]) == len(run.operators)
    grouped = data["operators"][[operator.name for operator in run.operators].index("grouped(2)")]
    assert "for g in 2:" in grouped["nest"]
    delivered = [data["operators"][index]["sequence"] for index in data["delivered"]]
    assert delivered == [layer.sequence for layer in run.layers]


def test_a_page_is_written_again_from_the_summary_alone(folder: Path, tmp_path: Path):
    (tmp_path / "report.html").write_text("something else")
    page = write_page(from_json((folder / "summary.json").read_text()), tmp_path)
    assert page.read_bytes() == (folder / "report.html").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["numbers", "report.html"]


def test_figures_have_distinct_names_and_positions():
    figures = registered()
    assert len({figure.name for figure in figures}) == len({figure.position for figure in figures}) == len(figures)
