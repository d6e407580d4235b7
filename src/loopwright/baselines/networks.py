"""One network on all participants, interleaved: in each round every one of them, in turn, warms up and takes a sample.

Each participant has a process of its own, so that no thread pool disturbs another and a crash is one row of the table;
only one of them computes at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.metadata import version
from math import inf
from typing import TYPE_CHECKING, TypeVar

from loopwright.baselines.child import Prepared
from loopwright.baselines.participant import REFERENCE, Participant
from loopwright.baselines.result import NetworkBenchmark, ParticipantResult
from loopwright.baselines.task import Task
from loopwright.baselines.worker import Limits, ParticipantError, Worker
from loopwright.errors import LoopwrightError
from loopwright.measurement import tolerances
from loopwright.measurement.environment import environment
from loopwright.measurement.timer import Protocol
from loopwright.search.progress import Progress

if TYPE_CHECKING:
    import numpy as np

NETWORK_PROTOCOL = Protocol(rounds=15, sample_ms=200.0, warm_up=3)
NOT_INSTALLED = "not installed: pip install 'loopwright[peers]'"

Found = TypeVar("Found")


@dataclass(eq=False)
class _Contender:
    """A participant during the run; after a failure it has a reason and no process."""

    participant: Participant
    worker: Worker | None = None
    prepared: Prepared | None = None
    difference: float | None = None
    samples_ms: list[float] = field(default_factory=list)
    reason: str = ""

    def attempt(self, step: Callable[[Worker], Found]) -> Found | None:
        """What ``step`` makes of the process; None once the participant has failed."""
        if self.worker is None:
            return None
        try:
            return step(self.worker)
        except ParticipantError as error:
            self.give_up(str(error))
            return None

    def give_up(self, reason: str) -> None:
        """Ends the process, and keeps the reason."""
        self.reason = reason
        if self.worker is not None:
            self.worker.close()
            self.worker = None

    def result(self, task: Task) -> ParticipantResult:
        """What is known of it."""
        return ParticipantResult(
            self.participant.name,
            "" if self.participant.missing() else self.participant.version(task),
            self.prepared.precision if self.prepared else "",
            tuple(self.samples_ms),
            self.prepared.setup_s if self.prepared else None,
            self.difference,
            self.reason,
            self.participant.stock,
        )


def benchmark_network(
    task: Task,
    participants: Sequence[Participant],
    progress: Progress,
    protocol: Protocol = NETWORK_PROTOCOL,
    limits: Limits = Limits(),  # noqa: B008 - immutable
) -> NetworkBenchmark:
    """Sets up all participants one after the other, then times them in turns. The first is the reference.

    Raises `LoopwrightError` if the reference can't run the network; any other failure is a result with a reason.
    """
    with ExitStack() as processes:
        contenders = [_Contender(participant) for participant in participants]
        for contender in contenders:
            _set_up(contender, task, protocol, limits, progress, processes)
            _check(contender, contenders[0])
            progress.note(_state(contender))
        _take_turns(contenders, protocol.rounds, progress)
        results = tuple(contender.result(task) for contender in contenders)
    described = {**environment(task.hardware), "torch": version("torch")}
    return NetworkBenchmark(task.model, task.input_shape, task.threads, described, results)


def _set_up(
    contender: _Contender, task: Task, protocol: Protocol, limits: Limits, progress: Progress, processes: ExitStack
) -> None:
    progress.stage(contender.participant.name)
    if contender.participant.missing():
        contender.reason = NOT_INSTALLED
        return
    contender.worker = processes.enter_context(Worker(contender.participant, task, protocol, limits))
    contender.prepared = contender.attempt(Worker.prepared)


def _check(contender: _Contender, reference: _Contender) -> None:
    """Compares the outputs; a participant that computes something else is not timed."""
    if reference.prepared is None:
        raise LoopwrightError(f"PyTorch ({REFERENCE}) can't run the network: {reference.reason}")
    if contender.prepared is None or not contender.participant.same:
        return
    contender.difference = difference(contender.prepared.outputs, reference.prepared.outputs)
    if not contender.difference <= tolerances.NETWORK.get(contender.prepared.precision, inf):
        contender.give_up(f"not timed: differs from PyTorch by {contender.difference:.1e} of the largest output")


def _state(contender: _Contender) -> str:
    name = contender.participant.name
    if contender.reason or contender.prepared is None:
        return f"{name}: {contender.reason}"
    return f"{name}: ready after {contender.prepared.setup_s:.1f} s"


def _take_turns(contenders: Sequence[_Contender], rounds: int, progress: Progress) -> None:
    progress.stage("Rounds", rounds)
    for _ in range(rounds):
        for contender in contenders:
            latency_ms = contender.attempt(Worker.sample_ms)
            if latency_ms is not None:
                contender.samples_ms.append(latency_ms)
        progress.advance()


def difference(outputs: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> float:
    """The largest absolute difference, relative to the largest expected value of the same output; infinite for other
    shapes and for values that are no numbers."""
    if [output.shape for output in outputs] != [want.shape for want in expected]:
        return float("inf")
    found = [_difference(output, want) for output, want in zip(outputs, expected, strict=True)]
    return max((value if value == value else float("inf") for value in found), default=0.0)


def _difference(output: np.ndarray, want: np.ndarray) -> float:
    return float(abs(output - want).max(initial=0.0) / max(float(abs(want).max(initial=0.0)), 1e-30))
