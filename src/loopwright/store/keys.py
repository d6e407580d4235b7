"""What the store keeps, and under which content it finds it again."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from hashlib import sha256
from statistics import median


@dataclass(frozen=True)
class TimingKey:
    """Everything that could change a latency.

    ``operator`` is the hash of what is computed, ``schedule`` the text of the CPU or GPU schedule, ``environment`` the
    hash of processor, threads and versions, ``protocol`` the text of how was timed.
    """

    operator: str
    target: str
    schedule: str
    environment: str
    protocol: str

    @property
    def digest(self) -> str:
        """The SHA-256 of all fields."""
        return _digest(astuple(self))


@dataclass(frozen=True)
class VerdictKey:
    """Everything that could change a verdict.

    ``network`` is the hash of the network with its initial weights, ``candidate`` the text of one choice for every
    layer, ``minibatch`` the fingerprint of the images that were looked at (empty for a check that needs none),
    ``protocol`` the text of how (empty for a check that has one way only).
    """

    network: str
    candidate: str
    check: str
    minibatch: str = ""
    protocol: str = ""

    @property
    def digest(self) -> str:
        """The SHA-256 of all fields, but of an empty protocol, which older stores do not have."""
        return _digest(astuple(self) if self.protocol else astuple(self)[:-1])


@dataclass(frozen=True)
class Timing:
    """Every sample taken under one key, in milliseconds, in the order in which they were taken."""

    key: TimingKey
    samples_ms: tuple[float, ...]

    @property
    def median_ms(self) -> float:
        """The latency that the samples stand for."""
        return median(self.samples_ms)


@dataclass(frozen=True)
class Failure:
    """A workload that could not be timed: ``stage`` says where it stopped: ``build``, ``check``, ``crash``, ``time
    limit``, ``memory limit``."""

    key: TimingKey
    stage: str
    message: str


@dataclass(frozen=True)
class VerdictCount:
    """How many verdicts of ``check`` have that outcome; ``kind`` is their reason up to the first colon."""

    check: str
    legal: bool
    kind: str
    count: int


@dataclass(frozen=True)
class StoreCounts:
    """How much a store holds; every timing has one sample or more."""

    verdicts: int
    timings: int
    samples: int
    failures: int
    environments: int


def _digest(fields: tuple[str, ...]) -> str:
    return sha256("\0".join(fields).encode()).hexdigest()
