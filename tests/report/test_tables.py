from __future__ import annotations

from dataclasses import replace

from rich.console import Console
from rich.table import Table

from loopwright.report import tables
from tests.report.example import empty_run, example_run


def printed(table: Table) -> str:
    console = Console(width=140, record=True, file=None, quiet=False)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def test_the_comparison_has_both_networks_and_the_change():
    text = printed(tables.comparison_table(example_run()))
    for expected in ("latency, ms", "1.16 G", "403 M", "2.88× fewer", "21.3 M", "7.20 M", "0.000842", "+21.2 %"):
        assert expected in text


def test_a_layer_shows_its_sequence_and_what_it_saved():
    line = next(
        line for line in printed(tables.layer_table(example_run())).splitlines() if "group(co, ci, 2)  " in line
    )
    assert "37.7 M → 18.9 M" in line


def test_the_funnel_shows_why_candidates_were_stopped():
    text = printed(tables.funnel_table(example_run()))
    assert "597 Fisher Potential below the original's" in text


def test_what_was_predicted_for_the_chosen_network_stands_with_its_figures():
    run = example_run()
    assert "predicted drop" not in printed(tables.comparison_table(run))
    scores = {"predicted_drop": 2.41, "predicted_drop_low": -0.4, "predicted_drop_high": 9.36}
    candidates = tuple(replace(own, scores=scores) if own.chosen else own for own in run.candidates)
    [line] = [
        line
        for line in printed(tables.comparison_table(replace(run, candidates=candidates))).splitlines()
        if "predicted drop, points" in line
    ]
    assert line.split()[-4:] == ["2.4", "-0.4", "to", "9.4"]


def test_an_empty_run_prints():
    assert "drawn" in printed(tables.funnel_table(empty_run()))
    assert "layer" in printed(tables.layer_table(empty_run()))


def test_the_last_line_states_the_measured_speedup():
    assert tables.speedup_line(example_run()).startswith("resnet34 is 2.82 times faster on cpu: 14.8 ms -> 5.25 ms")


def test_a_run_that_changes_nothing_says_so():
    run = example_run()
    kept = replace(run, layers=tuple(replace(layer, sequence="identity") for layer in run.layers))
    assert tables.speedup_line(kept) == "no legal candidate is faster than resnet34 on cpu (14.8 ms): it stays as it is"
