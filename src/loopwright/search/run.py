"""A search from a traced network to the chosen one, compiled and timed beside the original."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from hashlib import sha256
from math import isfinite
from pathlib import Path
from time import monotonic
from typing import Self

import numpy as np
import torch
from torch import nn

from loopwright.errors import ArgumentError
from loopwright.keeping import Keep, nowhere
from loopwright.legality.capacity import CalibratedCheck, Table, shipped
from loopwright.legality.capacity.calibrated import CHECK as CALIBRATED
from loopwright.legality.capacity.features import FEATURES
from loopwright.legality.capacity.sequential import CHECK as FISHER
from loopwright.legality.verdict import Verdict
from loopwright.lowering.inheritance import inherit
from loopwright.lowering.network import CompiledNetwork
from loopwright.lowering.settling import inherited
from loopwright.lowering.transformed import transformed
from loopwright.measurement.device import device_of
from loopwright.measurement.kernel_files import Wanted
from loopwright.measurement.network_agreement import require_agreement, tolerance_of
from loopwright.measurement.timer import Measurement, Protocol, measure
from loopwright.models.images import Minibatch
from loopwright.models.network import Network
from loopwright.registry import unknown
from loopwright.search.budget import Budget
from loopwright.search.candidate import Candidate
from loopwright.search.compiling import compile_apart
from loopwright.search.evaluation import Evaluation, Size
from loopwright.search.events import NetworkTimed, OperatorTimed
from loopwright.search.funnel import Funnel
from loopwright.search.judge import Judge, identity, network_fingerprint
from loopwright.search.judged import Judged
from loopwright.search.pool import Offer, Pool, promising
from loopwright.search.reuse import Reuse
from loopwright.search.savings import savings
from loopwright.search.scoring import ORIGINAL
from loopwright.search.shrinking import saving, shrunk
from loopwright.search.space import Choice, Limits, SearchSpace
from loopwright.search.stages import Stages
from loopwright.search.strategies import named
from loopwright.search.timing import OperatorLatencies
from loopwright.search.tuning import protocol_for
from loopwright.search.workers import Crew
from loopwright.store import Store, VerdictKey
from loopwright.targets.target import Target

NETWORKS = Protocol(rounds=31, sample_ms=50.0)
"""How compiled networks are timed."""

CAPACITY_CHECKS = (CALIBRATED, FISHER)
ORIGINAL_CHECK = f"{CALIBRATED}, original"
TIMING_SHARE = 0.5
"""Of a budget in seconds, how much may pass before timing operators ends."""
FINALISTS = 3
"""How many of the accepted candidates are compiled as networks; the fastest in one interleaved run is chosen."""

KeptTimings = Keep[Sequence[str], list[Measurement]]
"""The timings of the compiled networks that the key names."""


@dataclass(frozen=True)
class CapacityCheck:
    """``calibrated``, with the ``tolerance`` in points of accuracy, learnt from the networks of ``table``; or the
    paper's ``fisher``."""

    name: str = CALIBRATED
    tolerance: float = 1.0
    table: Table = field(default_factory=shipped)

    @property
    def fingerprint(self) -> str:
        """Of what is learnt from; empty where nothing is."""
        return sha256(self.table.text.encode()).hexdigest() if self.name == CALIBRATED else ""

    def of(self, network: Network, minibatch: Minibatch, device: str, store: Store) -> CalibratedCheck | None:
        """The calibrated check, if it is that; the original's scores are kept in the ``store``. Raises `ArgumentError`
        for an unknown name and what `CalibratedCheck.of` raises."""
        if self.name not in CAPACITY_CHECKS:
            raise unknown("legality check", self.name, CAPACITY_CHECKS)
        if self.name == FISHER:
            return None
        module = network.module if device == "cpu" else copy.deepcopy(network.module).to(device)

        def keep(images: Minibatch, score: Callable[[], Mapping[str, float]]) -> Mapping[str, float]:
            protocol = f"{', '.join(FEATURES)} on {device}"
            key = VerdictKey(
                network_fingerprint(network), identity(ORIGINAL), ORIGINAL_CHECK, images.fingerprint, protocol
            )
            known = store.verdict(key)
            if known is None:
                known = Verdict(True, ORIGINAL_CHECK, "scored to hold candidates against it", scores=score())
                store.record_verdict(key, known)
            return known.scores

        return CalibratedCheck.of(module, minibatch, self.table, self.tolerance, keep=keep)


@dataclass(frozen=True)
class Settings:
    """How a search goes: by the ``strategy`` of that name, with ``seed``, within ``budget``. ``shortlist``: how many
    accepted candidates are wanted, the fastest ones; ``device``: where images are scored, for the check ``capacity``,
    by the processes of ``crew`` (one for each processor that may be used, if there is none); ``parameters``: the most
    that a network may have, as a share of the original's; ``retry_failures``: whether what could not be timed in an
    earlier run is tried again; ``kernels``: a folder that keeps those built for a GPU.
    """

    strategy: str = "exact"
    budget: Budget = field(default_factory=Budget)
    seed: int = 0
    shortlist: int = 16
    device: str = "cpu"
    capacity: CapacityCheck = field(default_factory=CapacityCheck)
    parameters: float = 1.0
    limits: Limits = field(default_factory=Limits)
    retry_failures: bool = False
    crew: Crew | None = None
    kernels: Path | None = None

    def __post_init__(self) -> None:
        if not 0 < self.parameters <= 1:
            raise ArgumentError(f"parameters={self.parameters:g}; give a share of the original's, such as 0.5")


@dataclass(frozen=True, eq=False)
class Outcome:
    """All that a search found. ``judged`` are all candidates in the order in which they were drawn, ``finalists`` those
    that were compiled as networks, with their timings. ``choices`` holds the operator of every layer that is changed in
    what is delivered: ``chosen`` without what nobody reads, on which ``saving`` is one line. ``original_timing`` and
    ``chosen_timing`` are of the compiled networks, interleaved. ``verdicts`` counts those that the store had."""

    network: Network
    pool: Pool
    minibatch: Minibatch
    latencies: OperatorLatencies
    funnel: Funnel
    original_score: float
    judged: tuple[Judged, ...]
    finalists: tuple[tuple[Judged, Measurement], ...]
    chosen: Judged
    choices: Mapping[str, Choice]
    saving: str
    module: nn.Module
    compiled: CompiledNetwork
    original_timing: Measurement
    chosen_timing: Measurement
    verdicts: Reuse

    @property
    def space(self) -> SearchSpace:
        return self.pool.space


def run_search(
    network: Network,
    minibatch: Minibatch,
    target: Target,
    store: Store,
    settings: Settings,
    stages: Stages,
    keep: KeptTimings = nowhere,
    trained: nn.Module | None = None,
) -> Outcome:
    """Draws operators and times them, looks for the best networks of them, compiles these and chooses. The timings of
    compiled networks are kept, by ``keep``, for a run that goes on. Candidates are judged with the network's weights,
    and delivered with those that they inherit from ``trained``, if that is given. Raises `LoopwrightError` if the
    compiled network does not compute what PyTorch computes."""
    strategy, started = named(settings.strategy), monotonic()
    rng, funnel = random.Random(settings.seed), Funnel(stages.progress)
    with ExitStack() as processes:
        latencies = processes.enter_context(
            OperatorLatencies(
                network.input_shape[0], target, store, protocol_for(network),
                retry=settings.retry_failures, kernels=settings.kernels,
            )
        )  # fmt: skip
        calibrated = settings.capacity.of(network, minibatch, settings.device, store)
        offer = drawn_offer(network, rng, settings, latencies, stages)
        built_ahead(offer, latencies, stages)
        pool = _timed(offer, latencies, settings.budget, started, stages)
        with stages.stage("Judge", settings.budget.configurations) as progress:
            judge = processes.enter_context(
                Judge.for_search(
                    network, pool.space, minibatch, store,
                    configurations=settings.budget.configurations, seed=settings.seed, device=settings.device,
                    calibrated=calibrated,
                    crew=settings.crew, progress=progress,
                )
            )  # fmt: skip
            size = Size(network.parameters, int(settings.parameters * network.parameters))
            evaluation = Evaluation(pool, judge, size, settings.budget, settings.shortlist, funnel, progress, started)
            strategy.search(evaluation, rng, spread=settings.capacity.name != FISHER)
            evaluation.finish()
            judge.rest()
        judged = list(evaluation.judged)
        with stages.stage("Deliver") as progress:
            exact, legal = _on_all_images(evaluation, judge)
            for number, scored in exact.items():
                judged[number] = scored
            if len(exact) > len(legal):
                progress.note(f"{len(exact) - len(legal)} fast candidates rejected by their scores on all images")
            source = _Source(network, trained, minibatch)
            candidates = [_original(judge, pool), *(exact[own] for own in legal)]
            built = [_Built.of(source, pool.space, latencies, own) for own in candidates]
            progress.note(f"compiling the original and the {len(legal)} fastest legal networks")
            compiled = _all_compiled(network, built, target, latencies)
            images = np.resize(minibatch.images, network.input_shape)
            key = [latencies.environment_hash, *(own.identity(pool.space, latencies) for own in built)]
            timings = keep(key, lambda: _measured(compiled, images, target))
            for candidate, taken in zip(candidates, timings, strict=True):
                progress.happened(NetworkTimed(str(candidate.candidate), taken.median_ms))
            fastest = min(range(len(timings)), key=lambda k: timings[k].median_ms)
            chosen = built[fastest]
            if chosen.saving:
                progress.note(chosen.saving)
    funnel.passed("timed", len(legal))
    funnel.passed("chosen", int(fastest > 0))
    return Outcome(
        network, pool, minibatch, latencies, funnel, judge.original_score, tuple(judged),
        tuple(zip(candidates[1:], timings[1:], strict=True)),
        chosen.candidate, chosen.choices, chosen.saving, chosen.module, compiled[fastest],
        timings[0], timings[fastest], judge.reuse,
    )  # fmt: skip


def drawn_offer(
    network: Network, rng: random.Random, settings: Settings, latencies: OperatorLatencies, stages: Stages
) -> Offer:
    """The operators that a search with these settings draws and times."""
    with stages.stage("Transform", 2 * len(network.workloads) + len(network.transformable)) as progress:
        drawn = SearchSpace.of(network.workloads, rng, settings.limits, progress.advance)
        progress.note(str(drawn.drawn))
        whole = Offer(drawn, savings(network, drawn, progress.advance))
        offer = promising(whole, latencies.estimated, settings.budget.operators, progress.advance)
        if offer.savings:
            left = len({own.operator.key for own in offer.savings})
            progress.note(f"liveness: {left} operators are what others leave to compute of untouched layers")
        return offer


def built_ahead(offer: Offer, latencies: OperatorLatencies, stages: Stages) -> list[Wanted]:
    """Builds what timing will need, for a target whose compiler takes long, and gives it."""
    kernels = latencies.to_build(choice.form for _, choice in offer.operators.values())
    if kernels:
        with stages.stage("Build", len(kernels)) as progress:
            latencies.build(kernels, progress.advance)
    return kernels


def _timed(offer: Offer, latencies: OperatorLatencies, budget: Budget, started: float, stages: Stages) -> Pool:
    """What is offered, timed while the budget lasts; the untouched operators whatever it says."""
    operators, untouched = offer.operators, {found[0].key for found in offer.space.choices.values()}
    known: dict[str, float] = {}
    with stages.stage("Time", len(operators)) as progress:
        for key, (workload, choice) in operators.items():
            if key in untouched or budget.seconds is None or monotonic() - started < TIMING_SHARE * budget.seconds:
                known[key] = latencies.of(choice).latency_ms
                latency_ms = known[key] if isfinite(known[key]) else None
                progress.happened(OperatorTimed(workload, str(choice.sequence), latency_ms))
            progress.advance()
        for failure in latencies.failures:
            progress.note(f"not timed: {failure}")
        pool = Pool.of(offer, known)
        faster = sum(map(len, pool.space.choices.values())) - len(pool.space.choices)
        progress.note(f"{len(known)} operators timed, {faster} of them faster than the untouched ones")
    latencies.close()
    return pool


def _original(judge: Judge, pool: Pool) -> Judged:
    """The original network as a candidate."""
    return Judged(Candidate(), "drawn", scores={"fisher": judge.original_score}, latency_ms=pool.latency_ms({}))


def _on_all_images(evaluation: Evaluation, judge: Judge) -> tuple[dict[int, Judged], list[int]]:
    """Scores accepted candidates on all images at once: those faster than the original, the fastest first, until enough
    are legal by that. Gives all that were scored, with these scores, by number, and the numbers of the legal ones."""
    exact: dict[int, Judged] = {}
    legal: list[int] = []
    for number in evaluation.accepted:
        if len(legal) == FINALISTS or evaluation.latency_ms(number) >= evaluation.original_ms:
            break
        verdict = judge.exact(evaluation.choices(number))
        exact[number] = replace(evaluation.judged[number], scores=verdict.scores)
        if verdict.legal:
            exact[number] = replace(exact[number], reached="timed")
            legal.append(number)
    return exact, legal


def _measured(compiled: Sequence[CompiledNetwork], images: np.ndarray, target: Target) -> list[Measurement]:
    """All networks in one interleaved run."""
    return measure([own.runner(images) for own in compiled], NETWORKS, device_of(target).network_clock)


def _all_compiled(
    network: Network, built: Sequence[_Built], target: Target, latencies: OperatorLatencies
) -> list[CompiledNetwork]:
    """Raises `LoopwrightError` if what is compiled does not compute what was judged."""
    compiled = compile_apart(network, [own.module for own in built], target, latencies.schedule)
    for own, found in zip(built, compiled, strict=True):
        require_agreement(network, own.judged, found, tolerance=tolerance_of(target))
    return compiled


@dataclass(frozen=True, eq=False)
class _Source:
    """Where candidates have their weights from: ``network`` as it is, or ``trained``, and then batch norms have the
    statistics of the minibatch."""

    network: Network
    trained: nn.Module | None
    minibatch: Minibatch

    def module(self, choices: Mapping[str, Choice]) -> nn.Module:
        """The candidate."""
        forms = {layer: choice.form for layer, choice in choices.items()}
        if self.trained is None:
            return transformed(self.network, forms)
        return inherited(self.network, self.trained, forms, [torch.from_numpy(self.minibatch.images)])

    def shrunk(self, choices: Mapping[str, Choice], judged: nn.Module) -> nn.Module:
        """``judged`` without what nobody reads."""
        original = self.network if self.trained is None else replace(self.network, module=self.trained)
        module = transformed(original, {layer: choice.form for layer, choice in choices.items()})
        inherit(module, judged)
        return module


@dataclass(frozen=True, eq=False)
class _Built:
    """A candidate as a PyTorch module: as it was ``judged``, and without what nobody reads, with the same weights."""

    candidate: Judged
    choices: Mapping[str, Choice]
    saving: str
    judged: nn.Module
    module: nn.Module

    @classmethod
    def of(cls, source: _Source, space: SearchSpace, latencies: OperatorLatencies, candidate: Judged) -> Self:
        chosen = space.chosen(candidate.candidate)
        choices = shrunk(source.network, space, chosen, latencies)
        judged = source.module(chosen)
        return cls(candidate, choices, saving(space, chosen, choices), judged, source.shrunk(choices, judged))

    def identity(self, space: SearchSpace, latencies: OperatorLatencies) -> str:
        """Equal for networks that run the same kernels."""
        operators = (self.choices.get(layer) or space.original(layer) for layer in space.layers)
        return sha256("; ".join(f"{own.key} {latencies.of(own).schedule}" for own in operators).encode()).hexdigest()
