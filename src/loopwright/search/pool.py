"""The operators that a search chooses from: those that promise to be fast, timed.

What a choice saves in other layers (`loopwright.search.savings`) counts as well.

The cost model of the schedules orders what to time. An operator that it expects to be no faster than the untouched one
is left out, and after timing one that turned out so: the untouched one computes more in the same time.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf, isfinite

from loopwright.search.savings import Saving
from loopwright.search.space import Choice, SearchSpace


@dataclass(frozen=True, eq=False)
class Offer:
    """What a search chooses from once it is timed: the operators of a space, and what these save elsewhere."""

    space: SearchSpace
    savings: tuple[Saving, ...] = ()

    @property
    def operators(self) -> dict[str, tuple[str, Choice]]:
        """By keys: all of them, each with a workload that it is for. The untouched ones come first, and after each of
        the others what it leaves of other layers."""
        found = {original.key: (workload, original) for workload, (original, *_) in self.space.choices.items()}
        left: dict[str, list[Saving]] = {}
        for own in self.savings:
            left.setdefault(own.taken, []).append(own)
        for workload, (_, *others) in self.space.choices.items():
            for choice in others:
                found.setdefault(choice.key, (workload, choice))
                for own in left.get(choice.key, []):
                    found.setdefault(own.operator.key, (self.space.layers[own.layer], own.operator))
        return found

    def limited_to(self, choices: Mapping[str, Sequence[Choice]]) -> Offer:
        """With fewer operators, the untouched ones first, and what these save."""
        space = self.space.limited_to(choices)
        taken = {(layer, own.key) for layer, workload in space.layers.items() for own in space.choices[workload]}
        return Offer(space, tuple(own for own in self.savings if (own.reader, own.taken) in taken))


def promising(
    offer: Offer, expected: Callable[[Choice], float], most: int, advance: Callable[[], None] = lambda: None
) -> Offer:
    """What is offered, with the untouched operators and at most ``most`` others, of which all are ``expected`` to be
    faster than these, what they save elsewhere counted; with their savings, unless nothing is expected of them.
    Workloads share in proportion to the time that is at stake: what their layers are expected to take, and those of
    which they may leave less. Of one workload's operators the fastest is taken first, and the others are spread evenly
    over what they are expected to take. ``advance`` is called after each workload."""
    space = offer.space
    offer = Offer(
        space, tuple(own for own in offer.savings if expected(own.operator) < expected(space.original(own.layer)))
    )
    at_stake, saved = _at_stake(offer), _saved(offer, expected)
    layers = Counter(space.layers.values())
    faster: dict[str, list[Choice]] = {}
    weights: dict[str, float] = {}
    for workload, (original, *others) in space.choices.items():
        takes = {own.key: layers[workload] * expected(own) - saved[workload, own.key] for own in (original, *others)}
        own = sorted((takes[choice.key], str(choice.sequence), choice) for choice in others)
        faster[workload] = [choice for time, _, choice in own if time < takes[original.key]]
        weights[workload] = takes[original.key] + sum(expected(space.original(layer)) for layer in at_stake[workload])
        advance()
    shares = shared_out(most, weights, {workload: len(found) for workload, found in faster.items()})
    return offer.limited_to(
        {
            workload: [found[0], *(faster[workload][k] for k in spread(len(faster[workload]), shares[workload]))]
            for workload, found in space.choices.items()
        }
    )


def _at_stake(offer: Offer) -> dict[str, set[str]]:
    """For each workload the layers of which its operators may leave less."""
    found: dict[str, set[str]] = {workload: set() for workload in offer.space.choices}
    for own in offer.savings:
        found[offer.space.layers[own.reader]].add(own.layer)
    return found


def _saved(offer: Offer, expected: Callable[[Choice], float]) -> dict[tuple[str, str], float]:
    """What the operators of a workload are expected to save elsewhere, all layers of it together; 0 for all others."""
    found: dict[tuple[str, str], float] = defaultdict(float)
    for own in offer.savings:
        saved = expected(offer.space.original(own.layer)) - expected(own.operator)
        found[offer.space.layers[own.reader], own.taken] += saved
    return found


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
    """A space of which every operator is timed; ``latencies_ms`` are by the operators' keys. ``savings`` are those that
    make a layer faster."""

    space: SearchSpace
    latencies_ms: Mapping[str, float]
    savings: tuple[Saving, ...] = ()

    @classmethod
    def of(cls, offer: Offer, latencies_ms: Mapping[str, float]) -> Pool:
        """Without the operators that were not timed, or are no faster than the untouched ones, what they save elsewhere
        counted. Layers of which the untouched operator could not be timed stay as they are, and count nothing."""
        space, known = offer.space, {key: ms for key, ms in latencies_ms.items() if isfinite(ms)}

        def saved_ms(own: Saving) -> float:
            return known.get(space.original(own.layer).key, 0.0) - known.get(own.operator.key, inf)

        worth = tuple(own for own in offer.savings if saved_ms(own) > 0)
        by_reader: dict[tuple[str, str], float] = defaultdict(float)
        for own in worth:
            by_reader[own.reader, own.taken] += saved_ms(own)
        most: dict[tuple[str, str], float] = defaultdict(float)
        for (reader, taken), saved in by_reader.items():
            key = space.layers[reader], taken
            most[key] = max(most[key], saved)
        kept = {
            workload: [
                original,
                *(
                    own
                    for own in others
                    if known.get(own.key, inf) - most[workload, own.key] < known.get(original.key, -inf)
                ),
            ]
            for workload, (original, *others) in space.choices.items()
        }
        limited = Offer(space, worth).limited_to(kept)
        untimed = {own.key: 0.0 for own, *_ in kept.values() if own.key not in known}
        return cls(limited.space, known | untimed, limited.savings)

    def delivered(self, choices: Mapping[str, Choice]) -> dict[str, Choice]:
        """The choices, and what each of them leaves of layers that are untouched otherwise."""
        found: dict[str, Choice] = {}
        for reader, choice in choices.items():
            for own in self._by_reader.get((reader, choice.key), []):
                if own.layer not in choices:
                    found[own.layer] = min(own.operator, found.get(own.layer, own.operator), key=self.takes_ms)
        return {**choices, **found}

    @cached_property
    def _by_reader(self) -> dict[tuple[str, str], list[Saving]]:
        found: dict[tuple[str, str], list[Saving]] = {}
        for own in self.savings:
            found.setdefault((own.reader, own.taken), []).append(own)
        return found

    def takes_ms(self, choice: Choice) -> float:
        """The latency of one operator."""
        return self.latencies_ms[choice.key]

    def latency_ms(self, choices: Mapping[str, Choice]) -> float:
        """The sum over all transformable layers of what is delivered: what the search compares candidates by."""
        delivered = self.delivered(choices)
        return sum(self.takes_ms(delivered.get(layer) or self.space.original(layer)) for layer in self.space.layers)
