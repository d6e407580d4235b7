"""Searches of a small space in which latencies and legality are made up."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from math import log
from types import MappingProxyType

from loopwright.legality.verdict import Verdict
from loopwright.search.budget import Budget
from loopwright.search.evaluation import Evaluation, Size
from loopwright.search.funnel import Funnel
from loopwright.search.pool import Offer, Pool
from loopwright.search.progress import SilentProgress
from loopwright.search.space import Choice, Limits, SearchSpace

Choices = Mapping[str, Choice]
TEXT = "conv2d(co=16, ci=16, oh=8, ow=8, kh=3, kw=3)"
STRIDED = "conv2d(co=32, ci=16, oh=4, ow=4, kh=3, kw=3, stride=2)"
LAYERS = {TEXT: ["a", "b"], STRIDED: ["c"]}


def pool(operators: int = 7, seed: int = 0, layers: Mapping[str, list[str]] = LAYERS) -> Pool:
    space = SearchSpace.of(layers, random.Random(seed), Limits(operators=operators))
    rng = random.Random(f"latencies {seed}")
    known = {
        choice.key: choice.form.macs * rng.uniform(0.8, 1.2) * (1 if choice.sequence.steps else 1.3)
        for found in space.choices.values()
        for choice in found
    }
    return Pool.of(Offer(space), known)


class Rule:
    """Legal is what keeps enough of the work of all layers together, and changes no two layers named in ``apart`` at
    once; ``asked`` counts how often the capacity of each candidate was asked about."""

    def __init__(self, pool: Pool, share: float = 0.45, apart: tuple[str, ...] = ("a", "c")):
        self.pool, self.share, self.apart = pool, share, apart
        self.asked: list[str] = []

    def keeps_structure(self, choices: Choices) -> bool:
        return not set(self.apart) <= set(choices)

    def structure(self, choices: Choices) -> Verdict:
        kept = self.keeps_structure(choices)
        return Verdict(kept, "structure", "kept" if kept else "receptive field: lost")

    def capacity(self, choices: Choices) -> Verdict:
        parts = [
            log(choice.form.macs / self.pool.space.original(layer).form.macs) * (2 if layer == "b" else 1)
            for layer, choice in choices.items()
        ]
        ratio = 2.0 ** (sum(parts) - 2 * log(self.share))
        scores = {"fisher": ratio, "fisher_original": 1.0, "images": 1.0}
        return Verdict(ratio >= 1, "fisher", f"{ratio}", scores=scores)

    def capacities(self, candidates: Iterable[Choices]) -> Iterator[Verdict]:
        for choices in candidates:
            self.asked.append("; ".join(f"{layer} {choice.key}" for layer, choice in sorted(choices.items())))
            yield self.capacity(choices)

    def fastest_ms(self) -> float:
        """By trying everything."""
        space = self.pool.space
        best = self.pool.latency_ms({})
        for taken in product(*(space.choices[workload] for workload in space.layers.values())):
            choices = {layer: own for layer, own in zip(space.layers, taken, strict=True) if own.sequence.steps}
            if self.keeps_structure(choices) and self.capacity(choices).legal:
                best = min(best, self.pool.latency_ms(choices))
        return best


class Steep(Rule):
    """Legal as long as layers together lose less work than a threshold, behind which margins fall steeply, and then say
    nothing of how far behind it is: a model that knows only what is far from there is far too hopeful."""

    LAYERS: Mapping[str, list[str]] = MappingProxyType(
        {f"conv2d(co={16 + 4 * k}, ci=16, oh=8, ow=8, kh=3, kw=3)": [f"l{k}"] for k in range(12)}
    )

    def keeps_structure(self, choices: Choices) -> bool:  # noqa: ARG002
        return True

    def capacity(self, choices: Choices) -> Verdict:
        space = self.pool.space
        lost = [log(space.original(layer).form.macs / choice.form.macs) for layer, choice in choices.items()]
        margin = max(-0.5, 1 - (sum(lost) / len(space.layers) / 0.8) ** 12)
        scores = {"fisher": 2.0**margin, "fisher_original": 1.0, "images": 1.0}
        return Verdict(margin >= 0, "fisher", f"{margin}", scores=scores)


def evaluation(
    rule: Rule,
    budget: Budget | None = None,
    parameters: float = 1.0,
    enough: int = 16,
    started: float | None = None,
) -> Evaluation:
    space = rule.pool.space
    original = sum(space.original(layer).form.parameters for layer in space.layers)
    size, progress = Size(original, int(parameters * original)), SilentProgress()
    return Evaluation(rule.pool, rule, size, budget or Budget(200), enough, Funnel(progress), progress, started)
