"""What happens in a run, as values: for callbacks, logs and machines that read along.

>>> as_json(StageBegan("Judge", 1000))
{'event': 'stage_began', 'stage': 'Judge', 'total': 1000}
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any


@dataclass(frozen=True)
class StageBegan:
    """A stage with ``total`` units of work, or an unknown number."""

    stage: str
    total: int | None = None


@dataclass(frozen=True)
class Advanced:
    """``done`` units of the stage; ``funnel`` is how many candidates are left after each check, by name."""

    stage: str
    done: int
    total: int | None = None
    funnel: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class StageEnded:
    """It took so many ``seconds``."""

    stage: str
    seconds: float


@dataclass(frozen=True)
class NetworkTraced:
    """The network that is to become faster; ``macs`` are for the traced batch."""

    network: str
    layers: int
    transformable: int
    workloads: int
    macs: int
    parameters: int


@dataclass(frozen=True)
class CandidateJudged:
    """One configuration of the network, as text, and the last check that it was given to. ``reason`` is the verdict's
    in one line; ``scores`` are the numbers that it rests on."""

    candidate: str
    check: str
    legal: bool
    reason: str
    scores: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class OperatorTimed:
    """What ``sequence`` makes of an operator takes so many milliseconds; None where it can't be timed."""

    operator: str
    sequence: str
    latency_ms: float | None


@dataclass(frozen=True)
class NewBest:
    """A candidate is faster than all before it: the sum of its layers' latencies beside the original's."""

    candidate: str
    latency_ms: float
    original_ms: float


@dataclass(frozen=True)
class NetworkTimed:
    """A candidate, compiled as a whole: the median of its latency, in the run in which the original's was taken."""

    candidate: str
    latency_ms: float


@dataclass(frozen=True)
class EpochTrained:
    """An epoch of a training, counted from 1: its last learning rate, the mean loss, the percentage of the augmented
    images that were classified rightly, and how long all ``epochs`` are expected to take still."""

    epoch: int
    epochs: int
    rate: float
    loss: float
    accuracy: float
    seconds_left: float


@dataclass(frozen=True)
class Noted:
    """One line that the user should read."""

    text: str


Event = (
    StageBegan
    | Advanced
    | StageEnded
    | NetworkTraced
    | CandidateJudged
    | OperatorTimed
    | NewBest
    | NetworkTimed
    | EpochTrained
    | Noted
)

Callback = Callable[[Event], None]
"""Called for every event of a run, from the thread that called `loopwright.optimize`, which waits for it. Classes of
events may be added, and fields to them; a callback passes over what it does not know.

What a callback raises ends the run: its processes end, and the exception is raised from `loopwright.optimize` as it is.
Verdicts and timings so far are in the store, and `loopwright.resume` goes on with the run's folder from there.
"""


def as_json(event: Event) -> dict[str, Any]:
    """The event's fields and its name, ready for JSON; numbers that aren't finite are None."""
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(event).__name__).lower()
    return {"event": name, **_finite(asdict(event))}


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and not isfinite(value) else value
