from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from loopwright.cli import progress as display
from loopwright.cli.options import ProgressStyle
from loopwright.cli.progress import LiveProgress, PlainProgress, progress_on
from loopwright.search import events
from loopwright.search.progress import FUNNEL, Progress, SilentProgress


def console(terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=100, _environ={})


def written(used: Console) -> str:
    assert isinstance(used.file, io.StringIO)
    return used.file.getvalue()


def watch(progress: Progress) -> None:
    """A short run."""
    progress.stage("Trace")
    progress.note("36 convolutions, 9 workloads")
    progress.stage("Judge", 40)
    for drawn in range(1, 41):
        progress.funnel({"drawn": drawn, "valid": drawn, "legal by structure": drawn // 2})
        progress.advance()
    progress.stage("Deliver", 1)
    progress.advance()


def test_the_display_suits_the_console():
    assert isinstance(progress_on(console(terminal=True)), LiveProgress)
    assert isinstance(progress_on(console(terminal=False)), PlainProgress)


def test_a_pipe_gets_few_plain_lines():
    used = console(terminal=False)
    with progress_on(used) as progress:
        watch(progress)
    lines = [line.split("] ", 1)[1] for line in written(used).splitlines()]
    assert lines[:2] == ["36 convolutions, 9 workloads", "Judge: 40"]
    assert lines[2] == "Judge 40/40  drawn 40 > valid 40 > legal by structure 20"
    assert lines[-1] == "drawn 40 > valid 40 > legal by structure 20"
    assert len(lines) < 8
    assert "\x1b" not in written(used)


def test_a_terminal_sees_stages_bars_funnel_and_notes():
    used = console(terminal=True)
    with progress_on(used) as progress:
        watch(progress)
    for expected in ("Trace", "40/40", "Deliver", "36 convolutions, 9 workloads", "legal by structure"):
        assert expected in written(used)


@pytest.mark.parametrize(("seconds", "lines"), [(0.01, 1), (0.1, 2), (1.0, 10)])
def test_a_long_stage_says_a_line_now_and_then(monkeypatch, seconds: float, lines: int):
    drawn = 0
    monkeypatch.setattr(display, "monotonic", lambda: seconds * drawn)
    used = console(terminal=False)
    with progress_on(used) as progress:
        progress.stage("Judge", 100)
        for drawn in range(1, 101):
            progress.funnel({"drawn": drawn})
            progress.advance()
    assert written(used).count("/100") == lines


REJECTED = [("structure", "receptive field: row 3")] * 2 + [("calibrated", "predicted drop above the tolerance: 2.1")]


def test_a_terminal_sees_why_candidates_are_rejected_and_the_best_so_far():
    used = console(terminal=True)
    with progress_on(used) as progress:
        progress.stage("Judge", 40)
        progress.funnel({"drawn": 40, "valid": 40})
        for check, reason in REJECTED:
            progress.happened(events.CandidateJudged("identity", check, False, reason))
        progress.happened(events.CandidateJudged("identity", "calibrated", True, "within: 0.1"))
        progress.happened(events.NewBest("stem: drop()", 5.0, 10.0))
    last = written(used).rsplit("valid", 1)[1]
    assert "2 receptive field" in last
    assert "1 predicted drop above the tolerance" in last
    assert "within" not in last
    assert "10.0 ms → 5.00 ms (2.00×)" in last


def test_networks_that_were_measured_take_the_place_of_sums():
    used = console(terminal=True)
    with progress_on(used) as progress:
        progress.happened(events.NewBest("stem: drop()", 5.0, 10.0))
        for latency_ms in (8.0, 4.0, 6.0):
            progress.happened(events.NetworkTimed("some", latency_ms))
    assert "fastest network: 8.00 ms → 4.00 ms (2.00×)" in written(used)


@pytest.mark.parametrize("style", list(ProgressStyle))
def test_a_style_that_is_asked_for_is_taken(style: ProgressStyle):
    used = console(terminal=True)
    with progress_on(used, style) as progress:
        watch(progress)
    assert ("\x1b" in written(used)) == (style in {ProgressStyle.AUTO, ProgressStyle.LIVE})
    assert (written(used) == "") == (style is ProgressStyle.NONE)


def test_events_as_lines_of_json():
    used = console(terminal=False)
    with progress_on(used, ProgressStyle.JSON) as progress:
        watch(progress)
        progress.happened(events.OperatorTimed("conv2d(co=1)", "identity", None))
    told = [json.loads(line) for line in written(used).splitlines()]
    assert [told[0]["event"], told[-1]["event"]] == ["stage_began", "operator_timed"]
    assert told[-1]["latency_ms"] is None
    assert sum(event["event"] == "advanced" for event in told) == 41


def test_a_stage_that_ends_early_shows_how_far_it_came():
    used = console(terminal=True)
    with progress_on(used) as progress:
        progress.stage("Trace")
        progress.stage("Time", 90)
        progress.advance(30)
    last = written(used).rsplit("Trace", 1)[1]
    assert "1/1" in last
    assert "30/90" in last


@pytest.mark.parametrize("terminal", [True, False])
def test_a_failure_passes_through(terminal: bool):
    def fail() -> None:
        with progress_on(console(terminal)) as progress:
            progress.stage("Judge", 10)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()


def test_a_stage_of_another_name_and_an_advance_before_any_are_fine():
    with progress_on(console(terminal=True)) as progress:
        progress.advance()
        progress.stage("Export", 2)
        progress.advance(2)


def test_the_silent_one_takes_every_event():
    watch(SilentProgress())


def test_the_funnel_has_the_six_counts():
    assert FUNNEL[0] == "drawn"
    assert FUNNEL[-1] == "chosen"
    assert len(FUNNEL) == 6
