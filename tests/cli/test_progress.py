from __future__ import annotations

import io

import pytest
from rich.console import Console

from loopwright.cli.progress import LiveProgress, PlainProgress, progress_on
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
    assert lines[2] == "Judge 4/40  drawn 4 > valid 4 > legal by structure 2"
    assert lines[-1] == "drawn 40 > valid 40 > legal by structure 20"
    assert len(lines) < 20
    assert "\x1b" not in written(used)


def test_a_terminal_sees_stages_bars_funnel_and_notes():
    used = console(terminal=True)
    with progress_on(used) as progress:
        watch(progress)
    for expected in ("Trace", "40/40", "Deliver", "36 convolutions, 9 workloads", "drawn 40 > valid 40"):
        assert expected in written(used)


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
