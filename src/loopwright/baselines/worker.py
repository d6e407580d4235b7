"""A participant's process, seen from the benchmark: it answers in time, or it is ended and says why."""

from __future__ import annotations

import multiprocessing
import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import Self

from loopwright.baselines.child import Answer, Failed, Prepared, Sample, serve
from loopwright.baselines.participant import Participant
from loopwright.baselines.task import Task
from loopwright.measurement.timer import Protocol
from loopwright.processes import how_it_ended


class ParticipantError(Exception):
    """A participant failed, crashed or did not answer; the message is one line."""


@dataclass(frozen=True)
class Limits:
    """Longest that a participant may take to set up, and for one sample, in seconds; ``trial_s`` more set-up for each
    trial of an autotuner."""

    setup_s: float = 900.0
    sample_s: float = 120.0
    trial_s: float = 20.0


class Worker:
    """The process of one participant, which starts at once. A context manager: leaving it ends the process."""

    def __init__(self, participant: Participant, task: Task, protocol: Protocol, limits: Limits):
        context = multiprocessing.get_context("spawn")
        self._connection, far_end = context.Pipe()
        self._log = task.folder / f"{participant.name.replace(os.sep, '_')}.log"
        self._limits, self._trials = limits, task.trials if participant.needs_trials else 0
        arguments = (far_end, participant, task, protocol, self._log)
        self._process: BaseProcess = context.Process(target=serve, args=arguments, name=participant.name)
        self._process.start()
        far_end.close()  # so that the child's end is the only one, and its death is noticed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def prepared(self) -> Prepared:
        """Waits until the network runs. Raises `ParticipantError`."""
        answer = self._answer(self._limits.setup_s + self._trials * self._limits.trial_s)
        assert isinstance(answer, Prepared)
        return answer

    def sample_ms(self) -> float:
        """Lets the participant warm up and take one sample, in milliseconds. Raises `ParticipantError`."""
        try:
            self._connection.send("sample")
        except OSError as error:
            raise ParticipantError(self._ended()) from error
        answer = self._answer(self._limits.sample_s)
        assert isinstance(answer, Sample)
        return answer.latency_ms

    def close(self) -> None:
        """Ends the process and those that it started; may be called twice."""
        if self._connection.closed or self._process.pid is None:
            return
        self._connection.close()
        with suppress(ProcessLookupError):  # it does not lead a group of its own yet, or all have ended
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.join()

    def _answer(self, limit_s: float) -> Answer:
        try:
            if not self._connection.poll(limit_s):
                raise ParticipantError(f"no answer within {limit_s:g} s")
            answer: Answer = self._connection.recv()
        except (EOFError, ConnectionError) as error:
            raise ParticipantError(self._ended()) from error
        if isinstance(answer, Failed):
            raise ParticipantError(answer.reason)
        return answer

    def _ended(self) -> str:
        """How the process ended, with the last line that it wrote."""
        self._process.join(timeout=5)
        return ": ".join(filter(None, (how_it_ended(self._process.exitcode), _last_line(self._log))))


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n") if log.exists() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
