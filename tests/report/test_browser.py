"""Both pages in a real Chromium, opened from disk without a network."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loopwright.report.candidates import candidates as rows_of_candidates
from loopwright.report.compare import write_comparison
from loopwright.report.page import write_report
from tests.report.example import empty_run, example_run
from tests.report.test_page import NASTY

playwright = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
POINTS = "#figure-front .scatterlayer .points path"
ROWS = "#layer-table tbody tr:not(.opened):visible"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture
def tab(browser: Any) -> Iterator[Any]:
    """A tab without a network, in which nothing may go wrong or be asked of another place."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True, accept_downloads=True)
    opened, wrong = context.new_page(), []
    opened.set_default_timeout(20_000)
    opened.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("request", lambda request: wrong.append(request.url) if not _local(request.url) else None)
    yield opened
    context.close()
    assert not wrong


def _local(url: str) -> bool:
    return url.startswith(("file:", "data:", "blob:"))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(example_run(), tmp_path_factory.mktemp("run"))


@pytest.fixture
def page(tab: Any, report: Path) -> Any:
    tab.goto(report.as_uri())
    return tab


def numbers_of(page: Any, figure: str, part: str) -> dict[str, Any]:
    """A trace of a figure as it is drawn, by its ``meta``."""
    script = f"JSON.stringify(document.getElementById('figure-{figure}').data.find(one => one.meta === '{part}'))"
    return json.loads(page.evaluate(script))


def click_point(page: Any, status: str, number: int) -> int:
    """Clicks the point of that number among those of a status, and says which candidate it is."""
    page.locator("#figure-front").scroll_into_view_if_needed()
    script = """([status, number]) => {
      const figure = document.getElementById("figure-front");
      const trace = figure.data.find((one) => one.meta === status);
      const [box, { xaxis, yaxis, _size }] = [figure.getBoundingClientRect(), figure._fullLayout];
      const place = [xaxis.d2p(trace.x[number]) + _size.l + box.x, yaxis.d2p(trace.y[number]) + _size.t + box.y];
      return [...place, trace.customdata[number]];
    }"""
    x, y, row = page.evaluate(script, [status, number])
    page.mouse.move(x, y)
    page.wait_for_selector("#figure-front .hovertext")
    page.mouse.click(x, y)
    return row


def test_every_figure_is_drawn(page: Any):
    for name in ("latency", "front", "layers", "sequences"):
        assert page.locator(f"#figure-{name} .main-svg").count() > 0
    assert page.locator(POINTS).count() == 1 + 16, "the original and what was timed"
    assert page.locator("#figure-layers .bars .point").count() == 2 * 32
    assert page.locator("#figure-latency .box").count() == 2
    assert page.locator("#figure-sequences .bars .point").count() == 2 * 4


@pytest.mark.parametrize("width", [1280, 800])
def test_nothing_is_wider_than_the_window(tab: Any, tmp_path: Path, width: int):
    run = example_run()
    longer = replace(run, layers=tuple(replace(layer, name=f"stages.{layer.name}.shortcut.0") for layer in run.layers))
    tab.set_viewport_size({"width": width, "height": 900})
    tab.goto(write_report(longer, tmp_path).as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate("document.querySelector('#figure-front .main-svg').width.baseVal.value") < width
    inner, outer = tab.evaluate(
        "(({ scrollWidth, clientWidth }) => [scrollWidth, clientWidth])(document.querySelector('.scroll'))"
    )
    assert inner <= outer, "the table of layers scrolls sideways"


def test_pointing_shows_the_candidate_and_clicking_its_layers(page: Any):
    run = example_run()
    assert page.locator(".becomes").all_inner_texts()[0].endswith(run.layers[0].sequence)
    number = click_point(page, "timed", 3)
    shown = page.locator("#figure-front .hovertext").first.text_content()
    candidate = run.candidates[number - 1]
    assert f"candidate {number}" in shown
    assert re.search(r"layers changed: (group|bottleneck)", shown)
    assert page.input_value("#network") == str(number)
    expected = [run.operators[index].sequence for index in candidate.operators]
    texts = page.locator(".becomes").all_inner_texts()
    assert [text.endswith(sequence) or text == "unchanged" for text, sequence in zip(texts, expected, strict=True)] == [
        True
    ] * len(expected)
    assert [text == "unchanged" for text in texts] == [sequence == "identity" for sequence in expected]
    bars = numbers_of(page, "layers", "chosen")
    assert bars["y"] == [run.operators[index].latency_ms for index in candidate.operators]
    assert bars["name"] == f"candidate {number}"
    assert numbers_of(page, "front", "ring")["x"] == [candidate.latency_ms]


def test_a_candidate_that_was_not_timed_says_so(page: Any):
    page.select_option("#axis", "macs")
    number = click_point(page, "accepted, not timed", 0)
    assert page.inner_text("#front-count").startswith(f"Candidate {number} was not timed")
    assert page.input_value("#network") == "delivered"


def test_layers_are_filtered_by_their_text(page: Any):
    assert page.locator(ROWS).count() == 32
    page.fill("#layer-filter", "layer2 GROUP(co")
    texts = page.locator(ROWS).all_inner_texts()
    assert texts
    assert all("layer2" in text and "group(co" in text for text in texts)
    assert page.inner_text("#layer-count").startswith(f"{len(texts)} of 32 layers")
    page.fill("#layer-filter", "")
    page.check("#changed-only")
    assert page.locator(ROWS).count() == sum(layer.changed for layer in example_run().layers)


def test_the_front_is_filtered_and_follows_its_axes(page: Any):
    run = example_run()
    assert page.locator("input[value=rejected]").is_disabled()
    page.select_option("#axis", "macs")
    scored = [candidate for candidate in run.candidates if candidate.scores]
    assert page.locator(POINTS).count() == 1 + len(scored)
    page.uncheck("input[value=rejected]")
    accepted = [candidate for candidate in run.candidates if candidate.accepted]
    assert page.locator(POINTS).count() == 1 + len(accepted)
    page.select_option("#family", "group")
    mostly = [candidate for candidate in accepted if next(iter(candidate.families)) == "group"]
    assert 0 < len(mostly) < len(accepted)
    assert page.locator(POINTS).count() == 1 + len(mostly)
    assert f"{len(mostly)} of 1000 candidates shown" in page.inner_text("#front-count")
    page.select_option("#family", "")
    page.select_option("#axis", "latency_ms")
    line = numbers_of(page, "front", "front")
    expected = sorted((row["latency_ms"], row["fisher_ratio"]) for row in rows_of_candidates(run) if row["on_front"])
    assert list(zip(line["x"], line["y"], strict=True)) == expected, "the script agrees on what is dominated"


def test_loop_nests_open_on_demand(page: Any):
    button = page.locator("button.nest").nth(next(k for k, layer in enumerate(example_run().layers) if layer.changed))
    assert page.locator(".nests").count() == 0
    button.click()
    before, after = page.locator(".nests pre").all_inner_texts()
    assert before.startswith("for n in 1:\n  for co in 64:")
    assert after != before
    assert button.get_attribute("aria-expanded") == "true"
    button.click()
    assert page.locator(".nests").count() == 0


def test_csv_is_saved_from_the_page_alone(page: Any, report: Path):
    with page.expect_download() as download:
        page.click("a[download='front.csv']")
    assert Path(download.value.path()).read_bytes() == (report.parent / "numbers" / "front.csv").read_bytes()


def test_paper_has_figures_of_its_width_and_no_controls(page: Any):
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.wait_for_function("document.querySelector('#figure-front .main-svg').width.baseVal.value <= 700")
    assert not page.locator("#front-controls").is_visible()
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    page.emulate_media(media="screen")
    page.wait_for_function("document.querySelector('#figure-front .main-svg').width.baseVal.value > 700")


def test_a_predicted_drop_is_preferred_where_candidates_have_it(tab: Any, tmp_path: Path):
    run = example_run()
    candidates = tuple(
        replace(candidate, scores=candidate.scores and {**candidate.scores, "predicted_drop": candidate.number / 100})
        for candidate in run.candidates
    )
    tab.goto(write_report(replace(run, candidates=candidates), tmp_path).as_uri())
    assert tab.input_value("#height") == "predicted_drop"
    front = numbers_of(tab, "front", "front")
    assert front["y"][-1] == 0, "the original loses nothing, so nothing dominates it"
    assert front["x"] == sorted(front["x"])
    assert front["y"] == sorted(front["y"], reverse=True)
    tab.select_option("#height", "fisher_ratio")
    assert numbers_of(tab, "front", "front")["y"] == sorted(numbers_of(tab, "front", "front")["y"])


def test_texts_with_markup_stay_texts(tab: Any, tmp_path: Path):
    run = example_run()
    operators = tuple(replace(operator, name=NASTY) for operator in run.operators)
    layers = (replace(run.layers[0], name=NASTY), *run.layers[1:])
    nasty = replace(run, operators=operators, layers=layers, command=NASTY, model=NASTY)
    tab.on("dialog", lambda dialog: pytest.fail(dialog.message))
    tab.goto(write_report(nasty, tmp_path).as_uri())
    click_point(tab, "timed", 3)
    assert NASTY in tab.locator("#layer-table tbody").inner_text()
    assert tab.locator("script").count() == 3 + 4, "the library, the data, the page's script, one a figure"


def test_a_run_that_found_nothing_opens(tab: Any, tmp_path: Path):
    tab.goto(write_report(empty_run(), tmp_path).as_uri())
    assert tab.inner_text("#layer-count") == "0 of 0 layers; 0 changed"


def test_a_comparison_draws_all_runs_and_follows_its_axis(tab: Any, tmp_path: Path):
    runs = {tmp_path / "first": example_run(), tmp_path / "second": example_run(1)}
    write_comparison(runs, tmp_path / "compare.html")
    tab.goto((tmp_path / "compare.html").as_uri())
    points = "#figure-fronts .scatterlayer .points path"
    assert tab.locator(points).count() == 2 * 17
    tab.select_option("#axis", "relative_latency")
    x = tab.evaluate("document.getElementById('figure-fronts').data[0].x")
    assert x[0] == 1
    assert max(x[1:]) < 1
    assert tab.locator(points).count() == 2 * 17


def test_the_picture_of_the_docs_is_taken(page: Any):
    from scripts.write_report_screenshot import picture

    assert picture(page).startswith(b"\x89PNG")
    assert page.input_value("#network") == "1", "the chosen one was clicked"
