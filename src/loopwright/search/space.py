"""The search space: for every workload, the distinct operators that sequences reach; for every layer, one of them.

Sequences are drawn at random: at most half from the recipes, the same ones for all workloads that they fit, so that
layers can be changed alike; the others step by step from each transformation's own list of applicable instances. Those
that reach an operator already there (equal domains, accesses and completion) are
recognised and dropped.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from functools import cached_property
from itertools import islice

from loopwright.errors import NotApplicableError
from loopwright.ir.contraction import OperatorForm, operator_form
from loopwright.ir.loopnest import LoopNest
from loopwright.operators import Operator, parse
from loopwright.search.candidate import Candidate
from loopwright.transformations import Step, TransformationSequence, registered
from loopwright.transformations.recipes import Recipe, fitting, variants

MOST_CAUTIOUS = 0.7
"""Configurations may be held to operators that keep up to this share of the work."""
DESIGNS = 1 / 3
"""The share of configurations in which all layers of a kind are changed alike, where they are to be spread."""

Variants = Sequence[tuple[Recipe, int]]
"""Recipes, each with a factor."""


@dataclass(frozen=True, eq=False)
class Choice:
    """A sequence and the operator that it makes of a workload; ``key`` is equal for equal operators."""

    sequence: TransformationSequence
    form: OperatorForm

    @cached_property
    def key(self) -> str:
        return self.form.key

    @classmethod
    def of(cls, nest: LoopNest, sequence: TransformationSequence) -> Choice:
        """Raises `NotApplicableError` where the sequence does not fit."""
        return cls(sequence, operator_form(sequence.apply(nest)))


@dataclass(frozen=True)
class Limits:
    """How far drawing goes: sequences of at most ``steps`` steps, at most ``operators`` for a workload (the untouched
    one first), each with at least ``least_share`` of the workload's multiply-accumulates and no more parameters than
    it has, in at most ``attempts`` draws."""

    steps: int = 5
    operators: int = 24
    least_share: float = 1 / 16
    attempts: int = 400


@dataclass(frozen=True)
class Drawn:
    """What became of the sequences drawn for a space: ``distinct`` gave a new operator, ``equal`` one that was there,
    ``inapplicable`` did not fit their nest, ``small`` left less than the least share of the work, ``large`` had more
    parameters than the original."""

    distinct: int = 0
    equal: int = 0
    inapplicable: int = 0
    small: int = 0
    large: int = 0

    def __add__(self, other: Drawn) -> Drawn:
        return Drawn(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def total(self) -> int:
        return sum(astuple(self))

    def __str__(self) -> str:
        return (
            f"{self.total} sequences drawn: {self.distinct} distinct operators, {self.equal} equal to one of them, "
            f"{self.small} too small, {self.large} with more parameters, {self.inapplicable} not applicable"
        )


def draw_sequence(nest: LoopNest, rng: random.Random, steps: int) -> TransformationSequence:
    """Up to ``steps`` random steps, each from the list of instances that a random transformation gives for a random
    statement; raises `NotApplicableError` if one of them turns out not to fit. Steps that only mark loops give no new
    operator and are not drawn."""
    sequence = TransformationSequence()
    transformations = [transformation for transformation in registered().values() if not transformation.marks]
    for _ in range(rng.randint(1, steps)):
        statement = rng.choice(nest.statements)
        instances = list(rng.choice(transformations).instances(statement))
        if instances:
            step = Step(rng.choice(instances), statement.name if len(nest.statements) > 1 else None)
            nest, sequence = step.apply(nest), sequence + TransformationSequence((step,))
    return sequence


class _Pool:
    """The distinct operators found so far for one workload."""

    def __init__(self, nest: LoopNest, limits: Limits):
        self.nest, self.limits = nest, limits
        identity = Choice.of(nest, TransformationSequence())
        self.found = {identity.key: identity}
        self.drawn = Drawn()
        self._least = limits.least_share * identity.form.macs
        self._most = identity.form.parameters

    @property
    def full(self) -> bool:
        return len(self.found) >= self.limits.operators or self.drawn.total >= self.limits.attempts

    def add(self, sequence: TransformationSequence) -> None:
        """Counts what the sequence gives, and keeps it if it is new."""
        choice = Choice.of(self.nest, sequence)
        if choice.form.macs < self._least:
            self.drawn += Drawn(small=1)
        elif choice.form.parameters > self._most:
            self.drawn += Drawn(large=1)
        elif choice.key in self.found:
            self.drawn += Drawn(equal=1)
        else:
            self.drawn += Drawn(distinct=1)
            self.found[choice.key] = choice


def choices(
    operator: Operator, rng: random.Random, limits: Limits, recipes: Variants
) -> tuple[tuple[Choice, ...], Drawn]:
    """Distinct operators for a workload (itself first, what the first of the ``recipes`` that fit make of it, what
    random sequences add), and what became of all sequences drawn."""
    pool = _Pool(operator.nest(), limits)
    for _, _, sequence in islice(fitting(pool.nest, recipes), limits.operators // 2):
        pool.add(sequence)
    while not pool.full:
        try:
            pool.add(draw_sequence(pool.nest, rng, limits.steps))
        except NotApplicableError:
            pool.drawn += Drawn(inapplicable=1)
    return tuple(pool.found.values()), pool.drawn


@dataclass(frozen=True, eq=False)
class SearchSpace:
    """``layers`` maps each transformable layer to its workload's text; ``choices`` each workload
    to its operators, the untouched one first."""

    layers: Mapping[str, str]
    choices: Mapping[str, tuple[Choice, ...]]
    drawn: Drawn

    @classmethod
    def of(
        cls,
        workloads: Mapping[str, Sequence[str]],
        rng: random.Random,
        limits: Limits,
        advance: Callable[[], None] = lambda: None,
    ) -> SearchSpace:
        """The space of a network with these workloads (operator text -> layers); ``advance`` is called after each."""
        found, total = {}, Drawn()
        recipes = variants()
        rng.shuffle(recipes)
        for text in workloads:
            found[text], drawn = choices(parse(text), rng, limits, recipes)
            total += drawn
            advance()
        return cls({layer: text for text, layers in workloads.items() for layer in layers}, found, total)

    def limited_to(self, choices: Mapping[str, Sequence[Choice]]) -> SearchSpace:
        """The same layers with fewer operators for each workload, the untouched ones first."""
        return replace(self, choices={workload: tuple(choices[workload]) for workload in self.choices})

    def draw(self, rng: random.Random) -> Candidate:
        """A random configuration: a random share of the layers gets a random operator of its workload each."""
        share = rng.uniform(0.5, 1.0)
        picked = {
            layer: rng.choice(self.choices[workload]).sequence if rng.random() < share else TransformationSequence()
            for layer, workload in self.layers.items()
        }
        return Candidate.of(picked)

    def draw_spread(self, rng: random.Random) -> Candidate:
        """A random configuration, from bold to cautious: a random share of the layers changes, to operators that keep
        at least a random share of the work; in half of them, layers of one workload take the same one. `DESIGNS` of
        them are `draw_design`."""
        if rng.random() < DESIGNS:
            return self.draw_design(rng)
        changed, least, alike = rng.uniform(0.1, 1.0), rng.uniform(0.0, MOST_CAUTIOUS), rng.random() < 0.5
        allowed = {workload: self._with_work(workload, least) for workload in self.choices}
        shared = {workload: rng.choice(found).sequence for workload, found in allowed.items()}
        picked = {}
        for layer, workload in self.layers.items():
            if rng.random() < changed:
                picked[layer] = shared[workload] if alike else rng.choice(allowed[workload]).sequence
        return Candidate.of(picked)

    def draw_design(self, rng: random.Random) -> Candidate:
        """A random configuration in which layers of a kind take the same sequence, those that have it; in one kind or
        several. Layers are of a kind if they differ in channels, size and stride alone, grouped ones in groups."""
        picked: dict[str, TransformationSequence] = {}
        for layers in rng.sample(self._kinds, rng.randint(1, len(self._kinds))):
            offered = {layer: {str(own.sequence): own.sequence for own in self._others(layer)} for layer in layers}
            counts = Counter(text for found in offered.values() for text in found)
            alike = [text for text, count in counts.items() if 2 * count >= len(layers)]
            if alike:
                text = rng.choice(alike)
                picked |= {layer: found[text] for layer, found in offered.items() if text in found}
        return Candidate.of({layer: picked[layer] for layer in self.layers if layer in picked})

    @cached_property
    def _kinds(self) -> list[list[str]]:
        """The layers of each kind."""
        found: dict[tuple[object, ...], list[str]] = {}
        for layer, workload in self.layers.items():
            operator = parse(workload)
            extents = operator.nest().computation.extents
            kernel = (extents.get(loop) for loop in ("kd", "kh", "kw"))
            grouped, dilation = getattr(operator, "groups", 1) > 1, str(getattr(operator, "dilation", 1))
            found.setdefault((operator.name, *kernel, grouped, dilation), []).append(layer)
        return list(found.values())

    def _others(self, layer: str) -> tuple[Choice, ...]:
        return self.choices[self.layers[layer]][1:]

    def _with_work(self, workload: str, share: float) -> list[Choice]:
        """The operators of a workload that keep so much of its multiply-accumulates."""
        original, *others = self.choices[workload]
        return [original, *(choice for choice in others if choice.form.macs >= share * original.form.macs)]

    def chosen(self, candidate: Candidate) -> dict[str, Choice]:
        """What a candidate of this space makes of every layer that it changes."""
        texts = dict(candidate.sequences)
        return {
            layer: next(choice for choice in self.choices[workload] if str(choice.sequence) == texts[layer])
            for layer, workload in self.layers.items()
            if layer in texts
        }

    def original(self, layer: str) -> Choice:
        """The layer's untouched operator."""
        return self.choices[self.layers[layer]][0]
