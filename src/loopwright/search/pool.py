"""The operators that a search chooses from: those that promise to be fast, timed.

What a choice saves in other layers (`loopwright.search.savings`) counts as well.

The cost model of the schedules orders what to time. An operator that it expects to be no faster than the untouched one
is left out, and after timing one that turned out so: the untouched one computes more in the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import inf, isfinite

from loopwright.search.savings import Saving
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
class Offer:
    """What a search chooses from once it is timed: the operators of a space, and what these save elsewhere."""

    space: SearchSpace
    savings: tuple[Saving, ...] = ()

    @property
    def operators(self) -> dict[str, tuple[str, Choice]]:
        """By keys: all of them, each with a workload that it is for; the untouched ones first."""
        originals = [(workload, original) for workload, (original, *_) in self.space.choices.items()]
        others = [(workload, own) for workload, (_, *found) in self.space.choices.items() for own in found]
        left = [(self.space.layers[own.layer], own.operator) for own in self.savings]
        return {choice.key: (workload, choice) for workload, choice in (*originals, *others, *left)}


@dataclass(frozen=True, eq=False)
class Pool:
    """A space of which every operator is timed; ``latencies_ms`` are by the operators' keys. ``savings`` are those that
    make a layer faster."""

    space: SearchSpace
    latencies_ms: Mapping[str, float]
    savings: tuple[Saving, ...] = ()

    @classmethod
    def of(cls, space: SearchSpace, latencies_ms: Mapping[str, float], savings: Iterable[Saving] = ()) -> Pool:
        """Without the operators that are no faster than the untouched ones, or were not timed. Layers of which the
        untouched operator could not be timed stay as they are, and count nothing."""
        known = {key: ms for key, ms in latencies_ms.items() if isfinite(ms)}

        def faster(choice: Choice, original: Choice) -> bool:
            return known.get(choice.key, inf) < known.get(original.key, 0.0)

        kept = space.limited_to(
            {
                workload: [original, *(own for own in others if faster(own, original))]
                for workload, (original, *others) in space.choices.items()
            }
        )
        taken = {(layer, own.key) for layer, workload in kept.layers.items() for own in kept.choices[workload]}
        untimed = {own.key: 0.0 for (own, *_) in kept.choices.values() if own.key not in known}
        worth = (
            own
            for own in savings
            if (own.reader, own.taken) in taken and faster(own.operator, kept.original(own.layer))
        )
        return cls(kept, known | untimed, tuple(worth))

    def delivered(self, choices: Mapping[str, Choice]) -> dict[str, Choice]:
        """The choices, and what is left of layers that are untouched otherwise."""
        found: dict[str, Choice] = {}
        for own in self.savings:
            reader = choices.get(own.reader)
            if own.layer not in choices and reader is not None and reader.key == own.taken:
                found[own.layer] = min(own.operator, found.get(own.layer, own.operator), key=self.takes_ms)
        return {**choices, **found}

    def takes_ms(self, choice: Choice) -> float:
        """The latency of one operator."""
        return self.latencies_ms[choice.key]

    def latency_ms(self, choices: Mapping[str, Choice]) -> float:
        """The sum over all transformable layers of what is delivered: what the search compares candidates by."""
        delivered = self.delivered(choices)
        return sum(self.takes_ms(delivered.get(layer) or self.space.original(layer)) for layer in self.space.layers)
