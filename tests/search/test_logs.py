from __future__ import annotations

import logging
import warnings
from pathlib import Path

import pytest

from loopwright.errors import ArgumentError
from loopwright.search import events
from loopwright.search.logs import log_event, logging_to

REJECTED = events.CandidateJudged("stem: group(co, ci, 2)", "structure", False, "receptive field: lost", {"cells": 2})


def test_a_file_gets_everything_with_its_time(tmp_path: Path):
    file = tmp_path / "run.log"
    with logging_to(file):
        log_event(events.StageBegan("Judge", 20))
        log_event(REJECTED)
        for done in range(1, 21):
            log_event(events.Advanced("Judge", done, 20, {"drawn": done}))
        log_event(events.OperatorTimed("conv2d(co=1)", "identity", None))
        log_event(events.StageEnded("Judge", 2.0))
        warnings.warn("old", DeprecationWarning, stacklevel=1)
        logging.getLogger("torch.somewhere").warning("odd")
        logging.getLogger("torch.somewhere").info("chatter")
    lines = file.read_text().splitlines()
    assert all(line[:4].isdecimal() and line[10] == "T" for line in lines if "loopwright" in line)
    text = file.read_text()
    for expected in (
        "INFO loopwright.run: Judge begins, 20 to do",
        "DEBUG loopwright.run: rejected by structure: receptive field: lost (cells 2): stem: group(co, ci, 2)",
        "INFO loopwright.run: Judge 2/20: drawn 2",
        "WARNING loopwright.run: not timed: conv2d(co=1) | identity",
        "Judge ended after 2.000 s",
        "WARNING py.warnings: ",
        "DeprecationWarning: old",
        "WARNING torch.somewhere: odd",
    ):
        assert expected in text
    assert "Judge 3/20" not in text
    assert "chatter" not in text


def test_a_failure_is_there_with_its_traceback_and_without_passwords(tmp_path: Path):
    with pytest.raises(ValueError, match="s3cr3t"), logging_to(tmp_path / "run.log"):
        raise ValueError("postgresql://ann:s3cr3t@db/team is down")
    text = (tmp_path / "run.log").read_text()
    assert "ERROR loopwright.run: ended by ValueError" in text
    assert "postgresql://ann:***@db/team is down" in text
    assert "s3cr3t" not in text


def test_afterwards_nothing_is_changed_and_the_file_is_only_added_to(tmp_path: Path):
    file, root = tmp_path / "run.log", logging.getLogger()
    handlers, shown = list(root.handlers), warnings.showwarning
    for text in ("first", "second"):
        with logging_to(file):
            log_event(events.Noted(text))
    log_event(events.Noted("third"))
    assert [line.rpartition(" ")[2] for line in file.read_text().splitlines()] == ["first", "second"]
    assert root.handlers == handlers
    assert warnings.showwarning is shown


def test_a_file_that_cannot_be_written_is_refused(tmp_path: Path):
    with pytest.raises(ArgumentError, match="can't be written"), logging_to(tmp_path / "no" / "run.log"):
        pass


def test_nothing_is_said_unless_somebody_listens(capfd: pytest.CaptureFixture[str]):
    log_event(events.OperatorTimed("conv2d(co=1)", "identity", None))
    assert capfd.readouterr().err == ""
