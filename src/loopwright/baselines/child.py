"""What a participant's process does: it prepares the network once, then takes a sample whenever it is asked.

The protocol, over one connection: the child sends `Prepared`, then one `Sample` for every message it receives, until
the connection is closed; or `Failed`, and ends.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from loopwright.baselines.participant import Participant, arrays
from loopwright.baselines.task import Task
from loopwright.measurement.timer import Protocol, sample
from loopwright.processes import end_with_parent

if TYPE_CHECKING:
    import numpy as np

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TVM_NUM_THREADS")
"""What runtimes read when they are loaded; participants set the number again by the runtime's own call."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """The network runs: how long that took (first run included), what it computes in, and its outputs."""

    setup_s: float
    precision: str
    outputs: list[np.ndarray]


@dataclass(frozen=True)
class Sample:
    """A mean latency in milliseconds."""

    latency_ms: float


@dataclass(frozen=True)
class Failed:
    """Why the participant gave up, in one line."""

    reason: str


Answer = Prepared | Sample | Failed


def serve(connection: Connection, participant: Participant, task: Task, protocol: Protocol, log: Path) -> None:
    """The whole life of the process; what the runtime prints goes to the file ``log``."""
    os.setpgrp()  # an interrupt from the terminal goes to the parent alone, and descendants can be ended with us
    end_with_parent()
    _redirect_output(log)
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(task.threads)
    with suppress(EOFError, BrokenPipeError):  # the parent has ended
        for answer in _answers(connection, participant, task, protocol):
            connection.send(answer)


def _answers(connection: Connection, participant: Participant, task: Task, protocol: Protocol) -> Iterator[Answer]:
    try:
        source = participant.source(task)
        start = perf_counter()
        ready = participant.prepare(source, task)
        first = ready.run()
        yield Prepared(perf_counter() - start, ready.precision, arrays(first))
        while True:
            connection.recv()
            yield Sample(sample(ready.run, protocol, ready.clock))
    except EOFError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a runtime raises is the reason in its row
        yield Failed(one_line(error))


def one_line(error: BaseException) -> str:
    """The error's class and the first line of what it says."""
    said = str(error).strip()
    return f"{type(error).__name__}: {said.splitlines()[0]}" if said else type(error).__name__


def _redirect_output(log: Path) -> None:
    """Sends standard output and error to ``log``, those of libraries and of child processes included."""
    with log.open("w") as file:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
