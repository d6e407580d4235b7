from __future__ import annotations

import json
from math import inf

import pytest

from loopwright.search import events
from loopwright.search.progress import CallbackProgress, SeveralProgress, SilentProgress


def test_progress_becomes_events():
    told: list[events.Event] = []
    progress = CallbackProgress(told.append)
    progress.stage("Judge", 2)
    progress.funnel({"drawn": 1})
    progress.advance()
    progress.funnel({"drawn": 2})
    progress.advance()
    progress.note("well")
    progress.happened(events.StageEnded("Judge", 1.5))
    assert told == [
        events.StageBegan("Judge", 2),
        events.Advanced("Judge", 1, 2, {"drawn": 1}),
        events.Advanced("Judge", 2, 2, {"drawn": 2}),
        events.Noted("well"),
        events.StageEnded("Judge", 1.5),
    ]


def test_several_are_all_told_in_order():
    told: list[str] = []

    class Own(SilentProgress):
        def __init__(self, name: str):
            self.name = name

        def note(self, text: str) -> None:
            told.append(f"{self.name}: {text}")

    SeveralProgress(Own("a"), Own("b")).note("x")
    assert told == ["a: x", "b: x"]


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (events.OperatorTimed("conv2d(co=1)", "identity", None), {"event": "operator_timed", "latency_ms": None}),
        (
            events.CandidateJudged("identity", "fisher", False, "below", {"fisher": inf, "images": 8}),
            {"event": "candidate_judged", "legal": False, "scores": {"fisher": None, "images": 8}},
        ),
        (events.NewBest("x", 1.0, 2.0), {"event": "new_best", "candidate": "x", "latency_ms": 1.0, "original_ms": 2.0}),
    ],
)
def test_an_event_as_json(event: events.Event, expected: dict[str, object]):
    found = json.loads(json.dumps(events.as_json(event), allow_nan=False))
    assert {name: found[name] for name in expected} == expected
