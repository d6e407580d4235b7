from __future__ import annotations

import json

import pytest

from loopwright.errors import StoreError
from loopwright.report.serialisation import from_json, to_json
from tests.report.example import empty_run, example_run


@pytest.mark.parametrize("summary", [example_run(), example_run(1), empty_run()])
def test_a_summary_survives_json_exactly(summary):
    assert from_json(to_json(summary)) == summary


def test_a_layer_that_was_not_timed_alone_survives():
    data = json.loads(to_json(example_run()))
    data["layers"][0]["latency_before_ms"] = None
    assert from_json(json.dumps(data)).layers[0].latency_before_ms is None


def test_whole_numbers_are_latencies_too():
    data = json.loads(to_json(example_run()))
    data["chosen"]["latency_samples_ms"] = [5, 6]
    assert from_json(json.dumps(data)).chosen.latency_samples_ms == (5.0, 6.0)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "2"}', '{"format": 2}', '{"format": 2, "command": 3}'])
def test_another_text_is_refused(text: str):
    with pytest.raises(StoreError, match="not the summary of a run"):
        from_json(text)


def test_a_value_of_another_type_is_refused():
    data = json.loads(to_json(example_run()))
    data["seed"] = "zero"
    with pytest.raises(StoreError, match="expected int, found 'zero'"):
        from_json(json.dumps(data))


@pytest.mark.parametrize(("found", "mend"), [(3, "upgrade Loopwright"), (1, "optimize again")])
def test_another_format_is_refused(found: int, mend: str):
    data = json.loads(to_json(example_run()))
    with pytest.raises(StoreError, match=f"format {found}, this Loopwright knows 2; {mend}"):
        from_json(json.dumps({**data, "format": found}))


def test_every_candidate_is_a_line_of_its_own():
    lines = to_json(example_run()).splitlines()
    candidates = [json.loads(line.strip().rstrip(",")) for line in lines if line.lstrip().startswith('{"number"')]
    assert [candidate["number"] for candidate in candidates] == list(range(1, 1001))
