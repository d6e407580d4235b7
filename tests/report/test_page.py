from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from loopwright.report.figure import registered
from loopwright.report.page import write_report
from loopwright.report.serialisation import from_json
from tests.report.example import empty_run, example_run

VOID = {"meta", "link", "br", "img", "hr"}


class Reader(HTMLParser):
    """Collects links and text, and holds that every tag is closed."""

    def __init__(self):
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attributes):
        if tag not in VOID:
            self.open.append(tag)
        self.links += [value for name, value in attributes if name in ("href", "src")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.text += data


def read(page: Path) -> Reader:
    reader = Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    assert not reader.open
    return reader


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    write_report(example_run(), folder)
    return folder


def test_the_page_says_what_was_found(folder: Path):
    text = re.sub(r"\s+", " ", read(folder / "report.html").text)
    for expected in (
        "resnet34 runs 2.79× faster on cpu",
        "5.30 ms instead of 14.8 ms",
        "2.88× fewer",
        "legal by Fisher",
    ):
        assert expected in text
    for layer in example_run().layers:
        assert layer.name in text


def test_the_page_needs_no_network_and_its_links_lead_somewhere(folder: Path):
    links = read(folder / "report.html").links
    assert links
    for link in links:
        assert link == "data:," or (folder / link).is_file()


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


def test_text_of_the_user_is_escaped(tmp_path: Path):
    page = write_report(replace(empty_run(), command="optimize '<script>alert(1)</script>'"), tmp_path)
    assert "<script>alert(1)" not in page.read_text(encoding="utf-8")


def test_figures_have_distinct_names_and_positions():
    figures = registered()
    assert len({figure.name for figure in figures}) == len({figure.position for figure in figures}) == len(figures)
