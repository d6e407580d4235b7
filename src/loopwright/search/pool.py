"""The operators that a search chooses from: those that promise to be fast, timed.

The cost model of the schedules orders what to time. An operator that it expects to be no faster than the untouched one
is left out, and after timing one that turned out so: the untouched one computes more in the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf, isfinite

from loopwright.search.space import Choice, SearchSpace


def promising(
    space: SearchSpace, expected: Callable[[Choice], float], most: int, advance: Callable[[], None] = lambda: None
) -> SearchSpace:
    """The space with the untouched operators and at most ``most`` others, all ``expected`` to be faster than these.
    Workloads share in proportion to the time that their layers are expected to take; of one workload's operators the
    fastest is taken first, and the others are spread evenly over what they are expected to take. ``advance`` is called
    after each workload."""
    faster: dict[str, list[Choice]] = {}
    weights: dict[str, float] = {}
    for workload, (original, *others) in space.choices.items():
        own = sorted((expected(choice), str(choice.sequence), choice) for choice in others)
        faster[workload] = [choice for takes, _, choice in own if takes < expected(original)]
        weights[workload] = expected(original) * sum(1 for text in space.layers.values() if text == workload)
        advance()
    shares = shared_out(most, weights, {workload: len(found) for workload, found in faster.items()})
    return space.limited_to(
        {
            workload: [found[0], *(faster[workload][k] for k in spread(len(faster[workload]), shares[workload]))]
            for workload, found in space.choices.items()
        }
    )


def shared_out(most: int, weights: Mapping[str, float], available: Mapping[str, int]) -> dict[str, int]:
    """At most ``most`` things, one by one to whoever has the least for its weight, and no more than it can take."""
    shares = dict.fromkeys(weights, 0)
    for _ in range(min(most, sum(available.values()))):
        hungry = (name for name in weights if shares[name] < available[name])
        shares[max(hungry, key=lambda name: weights[name] / (shares[name] + 1))] += 1
    return shares


def spread(length: int, count: int) -> list[int]:
    """``count`` of the numbers below ``length``, evenly spaced from the first on.

    >>> spread(10, 4)
    [0, 3, 6, 9]
    """
    if count < 2:
        return list(range(length))[:count]
    return [k * (length - 1) // (count - 1) for k in range(count)]


@dataclass(frozen=True, eq=False)
class Pool:
    """A space of which every operator is timed; ``latencies_ms`` are by the operators' keys."""

    space: SearchSpace
    latencies_ms: Mapping[str, float]

    @classmethod
    def of(cls, space: SearchSpace, latencies_ms: Mapping[str, float]) -> Pool:
        """Without the operators that are no faster than the untouched ones, or were not timed. Layers of which the
        untouched operator could not be timed stay as they are, and count nothing."""
        known = {key: ms for key, ms in latencies_ms.items() if isfinite(ms)}
        kept = {
            workload: [original, *(own for own in others if known.get(own.key, inf) < known.get(original.key, 0.0))]
            for workload, (original, *others) in space.choices.items()
        }
        untimed = {own.key: 0.0 for (own, *_) in kept.values() if own.key not in known}
        return cls(space.limited_to(kept), known | untimed)

    def latency_ms(self, choices: Mapping[str, Choice]) -> float:
        """The sum over all transformable layers: what the search compares candidates by."""
        operators = (choices.get(layer) or self.space.original(layer) for layer in self.space.layers)
        return sum(self.latencies_ms[own.key] for own in operators)
