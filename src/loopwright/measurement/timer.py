"""Latencies: medians of repeated runs, several functions taking turns, with weights that are not in the cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter

Call = Callable[[], object]


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


def measure(calls: Sequence[Call], protocol: Protocol) -> list[Measurement]:
    """Times every call, all of them in each round, so that a slow moment of the machine meets all alike."""
    numbers = [_calls_in_a_sample(call, protocol) for call in calls]
    samples: list[list[float]] = [[] for _ in calls]
    for _ in range(protocol.rounds):
        for call, number, taken in zip(calls, numbers, samples, strict=True):
            taken.append(_sample_ms(call, number))
    return [Measurement(tuple(taken), protocol) for taken in samples]


def sample(call: Call, protocol: Protocol) -> float:
    """One sample by itself, in milliseconds a call, after the protocol's warm-up: for calls that other processes
    interrupt."""
    return _sample_ms(call, _calls_in_a_sample(call, protocol))


def _calls_in_a_sample(call: Call, protocol: Protocol) -> int:
    for _ in range(protocol.warm_up):
        call()
    return max(1, round(protocol.sample_ms / max(_sample_ms(call, 1), 1e-4)))


def _sample_ms(call: Call, number: int) -> float:
    start = perf_counter()
    for _ in range(number):
        call()
    return (perf_counter() - start) * 1000 / number
