"""Evolution: legal networks have children, of which the fast ones are judged.

A child takes each layer from one of two parents, and then some layers, or all of one workload, take another operator. A
parent is the faster of two that are drawn (tournaments; Real et al., Regularized Evolution for Image Classifier
Architecture Search, AAAI 2019). Only a child that would be among the fastest half of the parents is asked about.
"""

from __future__ import annotations

import random

from loopwright.search.evaluation import Choices, Evaluation
from loopwright.search.space import Choice
from loopwright.search.strategies._base import BATCH, Strategy, drawn

FIRST = 32
PARENTS = 24
PATIENCE = 12
"""Generations without a faster legal network after which the search ends."""
ATTEMPTS = 400
"""Children of a generation that may be too slow, or there already."""


class EvolutionSearch(Strategy):
    """Children of the fastest legal networks."""

    name = "evolution"

    def search(self, evaluation: Evaluation, rng: random.Random, spread: bool) -> None:
        """See `Strategy`."""
        evaluation.judge(drawn(evaluation, rng, spread, min(FIRST, evaluation.left)))
        seen, idle = {_key(evaluation.choices(number)) for number in evaluation.margins}, 0
        while idle < PATIENCE and evaluation.left:
            before = evaluation.best_ms
            children = _children(evaluation, rng, seen)
            if not children:
                return
            evaluation.judge([number for own in children if (number := evaluation.draw(own)) is not None])
            idle = 0 if evaluation.best_ms < before else idle + 1


def _children(evaluation: Evaluation, rng: random.Random, seen: set[tuple[tuple[str, str], ...]]) -> list[Choices]:
    """Those of one generation, new ones."""
    parents: list[Choices] = [{}, *(evaluation.choices(number) for number in evaluation.accepted[:PARENTS])]
    latencies = [evaluation.pool.latency_ms(parent) for parent in parents]
    limit, found = sorted(latencies)[len(latencies) // 2], list[Choices]()
    for _ in range(ATTEMPTS):
        if len(found) == min(BATCH, evaluation.left):
            break
        first, second = (min(rng.choices(range(len(parents)), k=2), key=latencies.__getitem__) for _ in range(2))
        child = _mutated(evaluation, rng, _crossed(evaluation, rng, parents[first], parents[second]))
        if evaluation.pool.latency_ms(child) < limit and _key(child) not in seen:
            seen.add(_key(child))
            found.append(child)
    return found


def _crossed(evaluation: Evaluation, rng: random.Random, first: Choices, second: Choices) -> dict[str, Choice]:
    taken = {layer: rng.choice((first, second)).get(layer) for layer in evaluation.space.layers}
    return {layer: choice for layer, choice in taken.items() if choice is not None}


def _mutated(evaluation: Evaluation, rng: random.Random, choices: dict[str, Choice]) -> dict[str, Choice]:
    space = evaluation.space
    workload = rng.choice(list(space.choices))
    if rng.random() < 0.5:
        layers = [layer for layer, own in space.layers.items() if own == workload]
        changes = dict.fromkeys(layers, rng.choice(space.choices[workload]))
    else:
        layers = rng.sample(list(space.layers), rng.randint(1, min(3, len(space.layers))))
        changes = {layer: rng.choice(space.choices[space.layers[layer]]) for layer in layers}
    return {layer: choice for layer, choice in (choices | changes).items() if choice.key != space.original(layer).key}


def _key(choices: Choices) -> tuple[tuple[str, str], ...]:
    return tuple((layer, choice.key) for layer, choice in sorted(choices.items()))
