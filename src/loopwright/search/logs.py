"""A run in Python's logging, as ``loopwright.run``; nothing is written anywhere until somebody asks for it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loopwright.errors import ArgumentError
from loopwright.passwords import hide_passwords
from loopwright.search import events
from loopwright.search.events import Event

LOGGER = logging.getLogger("loopwright.run")
FORMAT = "%(asctime)s.%(msecs)03d %(levelname)s %(name)s: %(message)s"
DATES = "%Y-%m-%dT%H:%M:%S"

logging.getLogger("loopwright").addHandler(logging.NullHandler())


def log_event(event: Event) -> None:
    """Logs an event: what a candidate or an operator came to at level DEBUG, what failed as a WARNING, stages, counts
    and new bests at level INFO."""
    level, text = _record(event)
    if text:
        LOGGER.log(level, "%s", text)


def _record(event: Event) -> tuple[int, str]:
    match event:
        case events.StageBegan() | events.StageEnded() | events.Advanced():
            return logging.INFO, _stage(event)
        case events.NetworkTraced(network, layers, transformable, workloads, macs, parameters):
            return logging.INFO, (
                f"{network}: {layers} layers, {transformable} transformable, {workloads} workloads, "
                f"{macs} MACs, {parameters} parameters"
            )
        case events.CandidateJudged(candidate, check, legal, reason, scores):
            return logging.DEBUG, _verdict(candidate, check, legal, reason, scores)
        case events.OperatorTimed(operator, sequence, None):
            return logging.WARNING, f"not timed: {operator} | {sequence}"
        case events.OperatorTimed(operator, sequence, latency_ms):
            return logging.DEBUG, f"timed {latency_ms:.4g} ms: {operator} | {sequence}"
        case events.NewBest(candidate, latency_ms, original_ms):
            return (
                logging.INFO,
                f"new best: {latency_ms:.4g} ms over all layers, original {original_ms:.4g}: {candidate}",
            )
        case events.NetworkTimed(candidate, latency_ms):
            return logging.INFO, f"network {latency_ms:.4g} ms: {candidate}"
        case events.EpochTrained(epoch, epochs, rate, loss, accuracy):
            return logging.INFO, f"epoch {epoch}/{epochs}: rate {rate:.4g}, loss {loss:.4g}, accuracy {accuracy:.2f} %"
        case events.Noted(text):
            return logging.INFO, text


def _stage(event: events.StageBegan | events.StageEnded | events.Advanced) -> str:
    match event:
        case events.StageBegan(stage, total):
            return f"{stage} begins{'' if total is None else f', {total} to do'}"
        case events.StageEnded(stage, seconds):
            return f"{stage} ended after {seconds:.3f} s"
        case events.Advanced(stage, done, total, funnel):
            return _tenth(stage, done, total, funnel)


def _tenth(stage: str, done: int, total: int | None, funnel: object) -> str:
    """A line for every tenth of a stage of which the size is known, else none."""
    if not total or 10 * done // total == 10 * (done - 1) // total:
        return ""
    counts = ", ".join(f"{name} {count}" for name, count in funnel.items()) if isinstance(funnel, dict) else ""
    return f"{stage} {done}/{total}{f': {counts}' if counts else ''}"


def _verdict(candidate: str, check: str, legal: bool, reason: str, scores: object) -> str:
    numbers = ", ".join(f"{name} {score:.4g}" for name, score in scores.items()) if isinstance(scores, dict) else ""
    return f"{'legal' if legal else 'rejected'} by {check}: {reason}{f' ({numbers})' if numbers else ''}: {candidate}"


def _tops() -> list[logging.Logger]:
    """The root, and the loggers that pass nothing on to it, such as PyTorch's."""
    known = [logger for logger in logging.root.manager.loggerDict.values() if isinstance(logger, logging.Logger)]
    return [logging.root, *(logger for logger in known if not logger.propagate)]


class _Formatter(logging.Formatter):
    """Passwords of addresses are hidden, in tracebacks too."""

    def format(self, record: logging.LogRecord) -> str:
        return hide_passwords(super().format(record))


@contextmanager
def logging_to(file: Path | None) -> Iterator[None]:
    """Inside, everything of this package at any level, and warnings of all libraries, are appended to ``file``, each
    line with its time; warnings then don't go to the terminal. Without a file, nothing is changed.

    Raises `ArgumentError` where the file can't be written.
    """
    if file is None:
        yield
        return
    try:
        handler = logging.FileHandler(file, encoding="utf-8")
    except OSError as error:
        raise ArgumentError(f"--log {file} can't be written ({error.strerror}); name a file in a folder") from error
    handler.setFormatter(_Formatter(FORMAT, DATES))
    own, tops = logging.getLogger("loopwright"), _tops()
    level = own.level
    own.setLevel(logging.DEBUG)
    for logger in tops:
        logger.addHandler(handler)
    logging.captureWarnings(True)
    try:
        yield
    except BaseException:
        LOGGER.exception("ended by %s", type(sys.exception()).__name__)
        raise
    finally:
        logging.captureWarnings(False)
        for logger in tops:
            logger.removeHandler(handler)
        own.setLevel(level)
        handler.close()
