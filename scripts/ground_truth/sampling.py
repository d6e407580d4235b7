"""Which transformed networks are trained: single recipes, parts of the network, mixtures and random sequences.

Everything follows from one seed. The list is ordered so that any first part of it is a balanced sample.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from loopwright.legality.structure import StructureCheck
from loopwright.lowering.torch_module import OperatorModule
from loopwright.models.dataflow import dataflow
from loopwright.models.network import Network
from loopwright.operators import parse
from loopwright.search.space import Choice, Limits, SearchSpace
from loopwright.transformations.recipes import RECIPES, Recipe, applicable
from scripts.ground_truth.specs import Spec, choice

LEAST_MACS, MOST_MACS = 0.04, 0.97
MORE_WEIGHTS = ("untied_strips", "isolated_strips")
"""Recipes that may have more parameters than the original. `locally_connected` has so many that it is left out."""
COUNTS = {"recipe": 46, "partial": 36, "mixed": 36, "random": 24, "random_uniform": 12, "drawn": 12}
"""How many networks of each kind there are at most, beside the original."""
ILLEGAL = 1 / 5
"""The share of the networks made at random that may break the structural check."""
REPEATED = 20
"""Networks that are trained three times."""
POOL = 12
"""How many networks are made at random for each that is kept."""
MOST_REGIONS, MOST_EXTRA = 16, 2.0
"""Random operators with more dense convolutions than this, or of more than so many times the work, are left out: they
train slowly. So are those that no plan of dense convolutions exists for (rows grouped with columns)."""

Assignment = Mapping[str, Choice]


@dataclass(frozen=True, eq=False)
class Sites:
    """The layers of the original that can change, what they compute, and the recipes that fit them."""

    network: Network

    @cached_property
    def workloads(self) -> dict[str, str]:
        """Layer -> text of its operator, in the network's order."""
        return {layer.name: str(layer.operator) for layer in self.network.transformable}

    @cached_property
    def recipes(self) -> dict[tuple[str, str], Choice]:
        """(text of an operator, label of a recipe) -> what it makes of it, where that is no more work."""
        found = {}
        for workload in self.network.workloads:
            original = choice(workload, "")
            for recipe, factor, sequence in applicable(parse(workload).nest()):
                made = choice(workload, str(sequence))
                if _saves(recipe, made, original):
                    found[workload, recipe.label(factor)] = made
        return found

    @cached_property
    def labels(self) -> dict[str, Recipe]:
        """Label -> recipe, for all that fit somewhere."""
        fitting = {label for _, label in self.recipes}
        known = {recipe.label(f): recipe for recipe in RECIPES.values() for f in recipe.factors or (1,)}
        return {label: recipe for label, recipe in known.items() if label in fitting}

    def everywhere(self, label: str, layers: Iterable[str]) -> dict[str, Choice]:
        """The recipe at those of ``layers`` where it fits."""
        found = {layer: self.recipes.get((self.workloads[layer], label)) for layer in layers}
        return {layer: made for layer, made in found.items() if made is not None}


def _saves(recipe: Recipe, made: Choice, original: Choice) -> bool:
    if recipe.name == "locally_connected" or made.form.macs > original.form.macs:
        return False
    return recipe.name in MORE_WEIGHTS or made.form.parameters <= original.form.parameters


PARTS: Mapping[str, Callable[[int, str], bool]] = {
    "early": lambda _, name: name.startswith(("conv1", "stages.0", "stages.1")),
    "late": lambda _, name: name.startswith(("stages.2", "stages.3")),
    "every second": lambda k, _: k % 2 == 0,
    "first of a block": lambda _, name: name.endswith("conv1"),
    "second of a block": lambda _, name: name.endswith("conv2"),
    "last stage": lambda _, name: name.startswith("stages.3"),
    "first stage": lambda _, name: name.startswith("stages.0"),
    "all but the first of a stage": lambda _, name: name.startswith("stages") and ".0." not in name[8:],
}


class Sampler:
    """Makes specs out of assignments of operators to layers."""

    def __init__(self, network: Network, seed: int):
        self.sites = Sites(network)
        self.rng = random.Random(seed)
        self._structure = StructureCheck.of(dataflow(network))
        self._network = network
        self._space = SearchSpace.of(network.workloads, self.rng, Limits())
        self._trainable = {
            text: [made for made in found if _trains_fast(made, found[0])]
            for text, found in self._space.choices.items()
        }

    def specs(self) -> list[Spec]:
        """All networks, ordered; the first is the original."""
        groups = {
            "recipe": spread(_within_limits(self._recipes()), COUNTS["recipe"]),
            "partial": spread(_within_limits(self._partial()), COUNTS["partial"]),
            "mixed": self._at_random(self._mixed, COUNTS["mixed"]),
            "random": self._at_random(self._random, COUNTS["random"]),
            "random_uniform": self._at_random(self._random_uniform, COUNTS["random_uniform"]),
            "drawn": self._at_random(self._drawn, COUNTS["drawn"]),
        }
        ordered = [self._spec("original", "identity", (), {}), *interleaved(list(groups.values()))]
        numbered = [replace(spec, id=f"n{number:03}") for number, spec in enumerate(_distinct(ordered))]
        return repeated(numbered)

    def _spec(self, kind: str, label: str, families: Iterable[str], changed: Assignment) -> Spec:
        originals = [choice(self.sites.workloads[layer], "").form for layer in changed]
        forms = {layer: made.form for layer, made in changed.items()}
        saved = sum(form.macs for form in originals) - sum(form.macs for form in forms.values())
        dropped = sum(form.parameters for form in originals) - sum(form.parameters for form in forms.values())
        verdict = self._structure.judge(forms)
        return Spec(
            id="",
            kind=kind,
            label=label,
            families=tuple(sorted(set(families))),
            macs_share=round(1 - saved / self._network.macs, 4),
            parameters_share=round(1 - dropped / self._network.parameters, 4),
            structure="" if verdict.legal else verdict.reason,
            seeds=1,
            sequences={layer: str(made.sequence) for layer, made in changed.items()},
        )

    def _recipes(self) -> Iterator[Spec]:
        for label, recipe in self.sites.labels.items():
            yield self._spec("recipe", label, [recipe.name], self.sites.everywhere(label, self.sites.workloads))

    def _partial(self) -> Iterator[Spec]:
        """Every recipe on two parts of the network, with a factor each."""
        for name in RECIPES:
            labels = [label for label, recipe in self.sites.labels.items() if recipe.name == name]
            for part in self.rng.sample(list(PARTS), 3) if labels else []:
                label = self.rng.choice(labels)
                layers = [layer for k, layer in enumerate(self.sites.workloads) if PARTS[part](k, layer)]
                yield self._spec("partial", f"{label}, {part}", [name], self.sites.everywhere(label, layers))

    def _mixed(self) -> Spec:
        """Two to six recipes, one of them for each of some layers."""
        labels = self.rng.sample(list(self.sites.labels), self.rng.randint(2, 6))
        share = self.rng.uniform(0.15, 1.0)
        picked: dict[str, Choice] = {}
        for layer in self.sites.workloads:
            if self.rng.random() < share:
                picked |= self.sites.everywhere(self.rng.choice(labels), [layer])
        return self._spec("mixed", " + ".join(labels), [self.sites.labels[label].name for label in labels], picked)

    def _random(self) -> Spec:
        """Some layers take a random operator of the search space each."""
        share = self.rng.uniform(0.1, 1.0)
        layers = [layer for layer in self.sites.workloads if self.rng.random() < share]
        picked = {layer: self.rng.choice(self._trainable[self.sites.workloads[layer]]) for layer in layers}
        return self._spec("random", f"{len(layers)} layers", ["random"], _changing(picked))

    def _random_uniform(self) -> Spec:
        """Layers that compute the same take the same random operator."""
        made = {text: self.rng.choice(found) for text, found in self._trainable.items() if self.rng.random() < 0.8}
        layers = self.sites.workloads.items()
        picked = {layer: made[workload] for layer, workload in layers if workload in made}
        return self._spec("random_uniform", f"{len(made)} operators", ["random"], _changing(picked))

    def _drawn(self) -> Spec:
        """As the search draws; layers that would train slowly stay as they are."""
        chosen = self._space.chosen(self._space.draw(self.rng))
        picked = {layer: made for layer, made in chosen.items() if made in self._trainable[self.sites.workloads[layer]]}
        return self._spec("drawn", f"{len(picked)} layers", ["random"], picked)

    def _at_random(self, make: Callable[[], Spec], count: int) -> list[Spec]:
        """Networks made at random, their MACs spread evenly, few of them illegal by structure."""
        made = _within_limits(make() for _ in range(POOL * count))
        legal = [spec for spec in made if not spec.structure]
        illegal = [spec for spec in made if spec.structure]
        wrong = round(count * ILLEGAL)
        return interleaved([spread(legal, count - wrong), spread(illegal, wrong)])


def _within_limits(specs: Iterable[Spec]) -> list[Spec]:
    return _distinct(spec for spec in specs if LEAST_MACS <= spec.macs_share <= MOST_MACS)


def _trains_fast(made: Choice, original: Choice) -> bool:
    plan = OperatorModule(made.form, made.form.weight_bounds).dense_plan
    return plan is not None and plan.convolutions <= MOST_REGIONS and plan.macs <= MOST_EXTRA * original.form.macs


def _changing(picked: Assignment) -> dict[str, Choice]:
    return {layer: made for layer, made in picked.items() if made.sequence.steps}


def _distinct(specs: Iterable[Spec]) -> list[Spec]:
    """Without those that change the same layers by the same sequences as one before."""
    return list({tuple(spec.sequences.items()): spec for spec in reversed(list(specs))}.values())[::-1]


def spread(specs: Sequence[Spec], count: int) -> list[Spec]:
    """At most ``count`` of them: one after the other the nearest to MACs halfway between those before."""
    left, picked = list(specs), []
    for number in range(min(count, len(left))):
        target = LEAST_MACS + (MOST_MACS - LEAST_MACS) * _halfway(number + 1)
        nearest = min(left, key=lambda spec: abs(spec.macs_share - target))
        left.remove(nearest)
        picked.append(nearest)
    return picked


def _halfway(number: int) -> float:
    """1/2, 1/4, 3/4, 1/8, 5/8, ...: van der Corput's sequence."""
    value, step = 0.0, 0.5
    while number:
        value, number, step = value + step * (number % 2), number // 2, step / 2
    return value


def interleaved(groups: Sequence[Sequence[Spec]]) -> list[Spec]:
    """All members of all groups, so that every first part has its share of each."""
    placed = [((k + 0.5) / len(group), n, spec) for n, group in enumerate(groups) for k, spec in enumerate(group)]
    return [spec for *_, spec in sorted(placed, key=lambda entry: entry[:2])]


def repeated(specs: Sequence[Spec]) -> list[Spec]:
    """The same, the first `REPEATED` of them to be trained three times."""
    return [replace(spec, seeds=3 if number < REPEATED else 1) for number, spec in enumerate(specs)]


def extended(known: Sequence[Spec], more: Sequence[Spec], most: int) -> list[Spec]:
    """The known networks and at most ``most`` others, numbered on, each to be trained once."""
    left = _distinct([*known, *more])[len(known) :][:most]
    return [*known, *(replace(spec, id=f"n{len(known) + n:03}", seeds=1) for n, spec in enumerate(left))]
