"""Latencies: medians of repeated runs, several functions taking turns, with weights that are not in the cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter

Call = Callable[[], object]
Clock = Callable[[Call, int], Callable[[], float]]
"""For a call, and how many of them make a sample: what takes a sample, in milliseconds a call."""


@dataclass(frozen=True)
class Protocol:
    """How to time. A sample is the mean of as many calls as take ``sample_ms``, and at least one. Functions take turns
    for ``rounds`` rounds, after ``warm_up`` calls each. ``cold_bytes`` is how much memory the copies of the weights,
    used one after the other, should span, and ``passed_bytes`` the copies of what is read and written beside them: in a
    network other layers have used the caches in between, and half of an input lies in another processor's. ``copies``
    bounds their number."""

    rounds: int = 9
    sample_ms: float = 2.0
    warm_up: int = 2
    cold_bytes: int = 32 * 1024**2
    passed_bytes: int = 4 * 1024**2
    copies: int = 1024

    def copies_of(self, weight_bytes: int) -> int:
        """How many copies of weights of that size to take turns with."""
        return max(2, self._spanning(self.cold_bytes, weight_bytes))

    def copies_of_activations(self, activation_bytes: int) -> int:
        """How many copies of an input and output of that size in all to take turns with."""
        return max(1, self._spanning(self.passed_bytes, activation_bytes))

    def _spanning(self, span: int, size: int) -> int:
        return min(self.copies, -(-span // max(size, 1)))


@dataclass(frozen=True)
class Measurement:
    """All samples of one function, in milliseconds a call, and how they were taken."""

    samples_ms: tuple[float, ...]
    protocol: Protocol

    @property
    def median_ms(self) -> float:
        return median(self.samples_ms)


def rotate(calls: Sequence[Call]) -> Call:
    """A call that runs the next of ``calls`` each time, and starts over after the last."""
    position = -1

    def call() -> object:
        nonlocal position
        position = (position + 1) % len(calls)
        return calls[position]()

    return call


def wall_clock(call: Call, number: int) -> Callable[[], float]:
    """The time that passes until the last of the calls has returned: right for what runs on the processor."""

    def sample_ms() -> float:
        start = perf_counter()
        for _ in range(number):
            call()
        return (perf_counter() - start) * 1000 / number

    return sample_ms


def measure(calls: Sequence[Call], protocol: Protocol, clock: Clock = wall_clock) -> list[Measurement]:
    """Times every call, all of them in each round, so that a slow moment of the machine meets all alike."""
    samplers = [_sampler(call, protocol, clock) for call in calls]
    samples: list[list[float]] = [[] for _ in calls]
    for _ in range(protocol.rounds):
        for sampler, taken in zip(samplers, samples, strict=True):
            taken.append(sampler())
    return [Measurement(tuple(taken), protocol) for taken in samples]


def sample(call: Call, protocol: Protocol, clock: Clock = wall_clock) -> float:
    """One sample by itself, in milliseconds a call, after the protocol's warm-up: for calls that other processes
    interrupt."""
    return _sampler(call, protocol, clock)()


def _sampler(call: Call, protocol: Protocol, clock: Clock) -> Callable[[], float]:
    """Takes samples of as many calls as the protocol asks for."""
    for _ in range(protocol.warm_up):
        call()
    return clock(call, max(1, round(protocol.sample_ms / max(clock(call, 1)(), 1e-4))))
