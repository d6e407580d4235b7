"""The calibrated check for a network of one's own: some of its candidates are trained for a short time.

The candidates are drawn as the search draws them, and those are taken that differ most in size, since most of what is
drawn changes little. What the proxies say of each, and the accuracy that it reaches, go into a table that the check
learns from. Scores and accuracies are kept in the store as they come, so that the same
calibration goes on where it was interrupted.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from math import inf, isfinite, nan, sqrt
from statistics import mean, variance
from types import MappingProxyType

import numpy as np
import torch
from torch import nn

from loopwright.errors import ArgumentError, TrainingError
from loopwright.legality.capacity import Table, Trained
from loopwright.legality.capacity.calibrated import proxies_for, scores_of
from loopwright.legality.capacity.comparison import require_comparable
from loopwright.legality.capacity.features import FEATURES
from loopwright.legality.proxies._passes import require_usable
from loopwright.legality.structure import StructureCheck
from loopwright.legality.verdict import Verdict
from loopwright.lowering.transformed import transformed
from loopwright.models.dataflow import dataflow
from loopwright.models.devices import device_name
from loopwright.models.images import Minibatch
from loopwright.models.network import Network
from loopwright.search.judge import identity, network_fingerprint
from loopwright.search.scoring import ORIGINAL, Choices
from loopwright.search.shrinking import left
from loopwright.search.space import Limits, SearchSpace
from loopwright.search.stages import Stages
from loopwright.store import Store, VerdictKey
from loopwright.training.classes import class_count, require_known
from loopwright.training.images import Images
from loopwright.training.schedule import Schedule
from loopwright.training.short import Outcome, Trainer, released
from loopwright.training.step import arithmetic

SCORED, TRAINED = "calibration scores", "short training"
"""The names of the checks under which the store keeps scores and accuracies."""
SLOWEST = 6.0
"""Candidates whose steps take longer than so many times the original's are left out."""
DRAWS = 50
"""Candidates drawn at most for each layer."""
POOL = 8
"""Legal candidates drawn for each that is trained."""
LEARNT = 3.0
"""By how many of its standard errors the original has to be better than no training."""
SPARE = 2
"""Candidates in line for each that is trained, in place of those that can't be."""


@dataclass(frozen=True)
class Settings:
    """``networks`` candidates are trained once each, the original with ``seeds`` orders of the images, each after
    ``schedule``; candidates are drawn with ``seed``."""

    networks: int = 40
    seeds: int = 3
    seed: int = 0
    schedule: Schedule = field(default_factory=Schedule)
    limits: Limits = field(default_factory=Limits)


def calibrate(
    network: Network,
    minibatch: Minibatch,
    images: tuple[Images, Images],
    store: Store,
    settings: Settings,
    stages: Stages,
    included: Mapping[str, Choices] = MappingProxyType({}),
) -> Table:
    """A table of candidates of ``network``: scores on ``minibatch``, and accuracies on the second of ``images`` after
    training on the first, on the device where they lie. Every training starts from the network's weights as they are.
    ``included`` are candidates by their names in the table, trained before those that are drawn.

    Raises `ArgumentError` where nothing can be held against the network or too few candidates can be trained,
    `DataError` for labels that the network has no class for.
    """
    require_known(class_count(network.module, network.input_shape), images)
    with stages.stage("Transform", len(network.workloads)) as progress:
        space = SearchSpace.of(network.workloads, random.Random(settings.seed), settings.limits, progress.advance)
        drawn = list(islice(_candidates(network, space, settings.seed), settings.networks * POOL))
        candidates = spread_out(drawn, [_size(space, own) for own in drawn])[: settings.networks * SPARE]
    named = [*included.items(), *((f"n{number:03}", own) for number, own in enumerate(candidates))]
    networks = len(included) + settings.networks
    with stages.stage("Train", networks + settings.seeds) as progress:
        records = _Records(network, minibatch, images, store, settings.schedule)
        original = [records.accuracy(ORIGINAL, seed, progress.advance) for seed in range(settings.seeds)]
        best, error = mean(original), _error(original, len(images[1]))
        _require_learnt(best, error, images[1])
        progress.note(f"the original reaches {best:.2f} %, give or take {error:.2f} points for one training")
        found = [Trained("original", frozenset(), 0.0, error / sqrt(len(original)), records.scores(ORIGINAL))]
        for name, choices in named:
            if len(found) > networks:
                break
            accuracy = records.accuracy(choices, 0, progress.advance)
            scores = records.scores(choices)
            if isfinite(accuracy) and all(map(isfinite, scores.values())):
                found.append(Trained(name, frozenset([name]), best - accuracy, error, scores))
    return Table(found[0], tuple(found[1:]), len(minibatch))


def _candidates(network: Network, space: SearchSpace, seed: int) -> Iterator[Choices]:
    """Different ones that are legal by structure, as a search draws them."""
    structure, rng, seen = StructureCheck.of(dataflow(network)), random.Random(f"calibration {seed}"), {identity({})}
    for _ in range(DRAWS * len(space.layers)):
        choices = space.chosen(space.draw_spread(rng))
        if identity(choices) not in seen and structure.judge({name: own.form for name, own in choices.items()}).legal:
            seen.add(identity(choices))
            yield choices


def _size(space: SearchSpace, choices: Choices) -> np.ndarray:
    """Logarithms of multiply-accumulates and parameters of the layers that can change, as shares of the original's."""
    layers = [(space.original(layer).form, choices.get(layer, space.original(layer)).form) for layer in space.layers]
    before, after = np.array([[(own.macs, own.parameters) for own in pair] for pair in layers]).sum(0, dtype=float)
    return np.log(after / before)


def spread_out(candidates: Sequence[Choices], positions: Sequence[np.ndarray]) -> list[Choices]:
    """In an order in which each is as far as possible from the origin, where the original is, and from all before it
    (the farthest-first traversal of Gonzalez, Theoretical Computer Science 1985): any first few cover the whole."""
    rest, places = list(range(len(candidates))), np.array(positions)
    nearest = np.linalg.norm(places, axis=1) if rest else np.empty(0)
    found = []
    while rest:
        number = max(rest, key=nearest.__getitem__)
        rest.remove(number)
        found.append(candidates[number])
        nearest = np.minimum(nearest, np.linalg.norm(places - places[number], axis=1))
    return found


def _require_learnt(accuracy: float, error: float, held_out: Images) -> None:
    """Raises `ArgumentError` where the original can't be told from one that always gives the same answer."""
    counts = torch.bincount(held_out.labels)
    without = 100 * float(counts.max()) / len(held_out)
    if not accuracy > without + LEARNT * error:
        raise ArgumentError(
            f"the original is right for {accuracy:.1f} % of the images held out, and the same answer to all for "
            f"{without:.1f} %: it has learnt too little for candidates to lose; train with more images or epochs"
        )


def _error(accuracies: list[float], held_out: int) -> float:
    """The standard error of one training in points: over orders of the images, and at least that of counting the right
    answers among ``held_out`` images."""
    share = min(max(mean(accuracies) / 100, 0.5 / held_out), 1 - 0.5 / held_out)
    counting = 100 * sqrt(share * (1 - share) / held_out)
    return max(counting, sqrt(variance(accuracies)) if len(accuracies) > 1 else 0.0)


class _Records:
    """Scores and accuracies of candidates; out of the store where they are known."""

    def __init__(
        self, network: Network, minibatch: Minibatch, images: tuple[Images, Images], store: Store, schedule: Schedule
    ):
        self._network, self._minibatch, self._store, self._schedule = network, minibatch, store, schedule
        self._images, self._device = images, images[0].labels.device
        self._content = network_fingerprint(network)
        self._data = f"{images[0].fingerprint[:32]}{images[1].fingerprint[:32]}"
        self._seconds = inf
        self._proxies = proxies_for(network.module)
        require_usable(network.module, minibatch, "the calibrated check")
        for name, score in self.scores(ORIGINAL).items():
            require_comparable(self._proxies[name].title, score)

    def scores(self, choices: Choices) -> Mapping[str, float]:
        """What every proxy says."""

        def scored() -> Verdict:
            module = self._module(choices).to(self._device)
            return Verdict(True, SCORED, "scored", scores=scores_of(module, self._minibatch, self._proxies))

        key = VerdictKey(self._content, identity(choices), SCORED, self._minibatch.fingerprint, ", ".join(FEATURES))
        return self._known(key, scored).scores

    def accuracy(self, choices: Choices, seed: int, advance: Callable[[], None]) -> float:
        """In percent of the images held out, averaged with their mirror images; NaN for a candidate that takes too long
        or more memory than there is, which is found anew every time. ``advance`` is called after a training that was
        finished. Raises `TrainingError` where the original takes too much memory."""
        how = f"{self._schedule}, seed {seed}, {arithmetic(self._device)} on {device_name(self._device)}"
        key = VerdictKey(self._content, identity(choices), TRAINED, self._data, how)
        found = self._store.verdict(key)
        if found is None:
            outcome = self._trained(choices, seed)
            if outcome is None or outcome.accuracy_mirrored is None:
                return nan
            scores = {
                "accuracy": outcome.accuracy_mirrored,
                "seconds": outcome.seconds,
                "step_ms": outcome.step_ms,
            }
            found = Verdict(True, TRAINED, f"reaches {outcome.accuracy_mirrored:.2f} %", scores=scores)
            self._store.record_verdict(key, found)
        if not choices:
            self._seconds = min(self._seconds, found.scores["seconds"])
        advance()
        return found.scores["accuracy"]

    def _trained(self, choices: Choices, seed: int) -> Outcome | None:
        """None where the memory does not suffice for a candidate."""
        trainer = Trainer(*self._images, self._schedule, SLOWEST * self._seconds if choices else inf)
        try:
            return trainer.train(self._module(left(self._network, choices)), seed)  # the same function, sooner
        except torch.OutOfMemoryError as error:
            if not choices:
                raise TrainingError(f"the memory of {self._device} does not suffice to train the original") from error
            return None
        finally:
            released()

    def _module(self, choices: Choices) -> nn.Module:
        """A candidate with the weights that it inherits; a copy."""
        with torch.no_grad():
            return copy.deepcopy(transformed(self._network, {name: own.form for name, own in choices.items()}))

    def _known(self, key: VerdictKey, make: Callable[[], Verdict]) -> Verdict:
        found = self._store.verdict(key)
        if found is None:
            found = make()
            self._store.record_verdict(key, found)
        return found
