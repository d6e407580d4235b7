from __future__ import annotations

from dataclasses import replace

from loopwright.report.notebook import SHOWN, table_html
from tests.report.example import example_run


def test_a_notebook_sees_both_networks_and_the_layers_that_gained_most():
    run = example_run()
    page = table_html(run)
    assert run._repr_html_() == page
    assert "2.82× faster" in page
    for quantity in ("latency, ms", "MACs", "parameters"):
        assert f"<td>{quantity}</td>" in page
    changed = [layer for layer in run.layers if layer.changed]
    gains = [layer.latency_before_ms - layer.latency_after_ms for layer in changed]
    best = changed[gains.index(max(gains))]
    assert page.count("<tr>") <= 2 + SHOWN + 6
    assert f"<tr><td>{best.name}</td>" in page.split("Layers that gained most")[1].split("</tr>", 1)[1]


def test_texts_are_escaped():
    run = example_run()
    changed = next(layer for layer in run.layers if layer.changed)
    layers = tuple(replace(layer, name="<script>alert(1)</script>") for layer in (changed,))
    page = table_html(replace(run, model="<b>&", layers=layers))
    assert "<script>" not in page
    assert "&lt;b&gt;&amp; is 2.82 times faster" in page


def test_a_network_that_stays_as_it_is_has_no_layers_to_show():
    run = example_run()
    kept = tuple(replace(layer, sequence="identity") for layer in run.layers)
    page = table_html(replace(run, layers=kept))
    assert "it stays as it is" in page
    assert "Layers" not in page


def test_a_run_prints_as_one_line():
    assert repr(example_run()) == "<RunSummary resnet34 on cpu: 14.8 -> 5.25 ms (2.82×)>"
