"""A search from a traced network to the chosen one, compiled and timed beside the original."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256

import numpy as np
from torch import nn

from loopwright.legality.capacity import CalibratedCheck, Table, shipped
from loopwright.legality.capacity.calibrated import CHECK as CALIBRATED
from loopwright.legality.capacity.sequential import CHECK as FISHER
from loopwright.lowering.inheritance import inherit
from loopwright.lowering.network import CompiledNetwork
from loopwright.lowering.transformed import transformed
from loopwright.measurement.network_agreement import require_agreement
from loopwright.measurement.timer import Measurement, Protocol, measure
from loopwright.models.images import Minibatch
from loopwright.models.network import Network
from loopwright.registry import unknown
from loopwright.search.candidate import Candidate
from loopwright.search.compiling import compile_apart
from loopwright.search.events import NetworkTimed
from loopwright.search.funnel import Funnel
from loopwright.search.judge import Judge
from loopwright.search.leader import Leader
from loopwright.search.reuse import Reuse
from loopwright.search.shrinking import saving, shrunk
from loopwright.search.space import Choice, Limits, SearchSpace
from loopwright.search.stages import Stages
from loopwright.search.strategies.random import Judged, search
from loopwright.search.timing import OperatorLatencies
from loopwright.search.tuning import protocol_for
from loopwright.search.workers import Crew
from loopwright.store import Store
from loopwright.targets.target import Target

NETWORK_ROUNDS = 31

CAPACITY_CHECKS = (CALIBRATED, FISHER)
FINALISTS = 3
"""How many of the timed candidates are compiled as networks; the fastest in one interleaved run is chosen."""

Take = Callable[[], list[Measurement]]
KeptTimings = Callable[[Sequence[str], Take], list[Measurement]]
"""Gives the timings of the compiled networks that the key names: those that the run has taken already, or new ones."""


def _taken(_key: Sequence[str], take: Take) -> list[Measurement]:
    return take()


@dataclass(frozen=True)
class CapacityCheck:
    """``calibrated``, with the ``tolerance`` in points of accuracy, learnt from the networks of ``table``; or the
    paper's ``fisher``."""

    name: str = CALIBRATED
    tolerance: float = 1.0
    table: Table = field(default_factory=shipped)

    def of(self, network: Network, minibatch: Minibatch, device: str) -> CalibratedCheck | None:
        """The calibrated check, if it is that. Raises `ArgumentError` for an unknown name and what `CalibratedCheck.of`
        raises."""
        if self.name not in CAPACITY_CHECKS:
            raise unknown("legality check", self.name, CAPACITY_CHECKS)
        if self.name == FISHER:
            return None
        module = network.module if device == "cpu" else copy.deepcopy(network.module).to(device)
        return CalibratedCheck.of(module, minibatch, self.table, self.tolerance)


@dataclass(frozen=True)
class Settings:
    """``configurations`` to draw, with ``seed``; ``shortlist``: of how many accepted candidates (those that the cost
    model expects to be fastest) the operators are timed; ``device``: where images are scored, for the check
    ``capacity``, by the processes of ``crew`` (one for each processor that may be used, if there is none);
    ``retry_failures``: whether what could not be timed in an earlier run is tried again.
    """

    configurations: int = 1000
    seed: int = 0
    shortlist: int = 16
    device: str = "cpu"
    capacity: CapacityCheck = field(default_factory=CapacityCheck)
    limits: Limits = field(default_factory=Limits)
    retry_failures: bool = False
    crew: Crew | None = None


@dataclass(frozen=True)
class Timed:
    """An accepted candidate and the sum of its layers' latencies in milliseconds."""

    accepted: Judged
    latency_ms: float


@dataclass(frozen=True, eq=False)
class Outcome:
    """All that a search found. ``judged`` are all candidates in the order in which they were drawn, ``finalists`` those
    that were compiled as networks, with their timings. ``choices`` holds the operator of every layer that is changed in
    what is delivered: ``chosen`` without what nobody reads, on which ``saving`` is one line. ``original_timing`` and
    ``chosen_timing`` are of the compiled networks, interleaved. ``verdicts`` counts those that the store had."""

    network: Network
    space: SearchSpace
    minibatch: Minibatch
    latencies: OperatorLatencies
    funnel: Funnel
    original_score: float
    judged: tuple[Judged, ...]
    timed: tuple[Timed, ...]
    finalists: tuple[tuple[Timed, Measurement], ...]
    chosen: Timed
    choices: Mapping[str, Choice]
    saving: str
    module: nn.Module
    compiled: CompiledNetwork
    original_timing: Measurement
    chosen_timing: Measurement
    verdicts: Reuse


def run_search(
    network: Network,
    minibatch: Minibatch,
    target: Target,
    store: Store,
    settings: Settings,
    stages: Stages,
    kept: KeptTimings = _taken,
) -> Outcome:
    """Draws, judges, times, chooses; the timings of compiled networks are ``kept`` for a run that goes on. Raises
    `LoopwrightError` if the compiled network does not compute what PyTorch computes."""
    rng, funnel = random.Random(settings.seed), Funnel(stages.progress)
    with stages.stage("Transform", len(network.workloads)) as progress:
        space = SearchSpace.of(network.workloads, rng, settings.limits, progress.advance)
        progress.note(str(space.drawn))
    with ExitStack() as processes:
        with stages.stage("Judge", settings.configurations) as progress:
            judge = processes.enter_context(
                Judge.for_search(
                    network, space, minibatch, store,
                    configurations=settings.configurations, seed=settings.seed, device=settings.device,
                    calibrated=settings.capacity.of(network, minibatch, settings.device),
                    crew=settings.crew, progress=progress,
                )
            )  # fmt: skip
            draw = space.draw if settings.capacity.name == FISHER else space.draw_spread
            judged = search(
                space, draw, judge.structure, judge.capacities, rng, settings.configurations, funnel, progress.advance
            )
            judge.rest()
        latencies = processes.enter_context(
            OperatorLatencies(
                network.input_shape[0], target, store, protocol_for(network), retry=settings.retry_failures
            )
        )
        accepted = [found for found in judged if found.accepted]
        timed = _timed(space, accepted, latencies, settings.shortlist, stages)
        funnel.passed("timed", len(timed))
        unchanged = Timed(_original(judge), latencies.network_ms(space, {}))
        with stages.stage("Deliver") as progress:
            exact, legal = _on_all_images(space, judge, unchanged, timed)
            judged = [exact.get(id(found), found) for found in judged]
            timed = [replace(found, accepted=exact.get(id(found.accepted), found.accepted)) for found in timed]
            finalists = [found for found in timed if any(found.accepted is own for own in legal)]
            if len(exact) > len(legal):
                progress.note(f"{len(exact) - len(legal)} fast candidates rejected by their scores on all images")
            build = partial(_Compiled.of, network, space, latencies, target)
            original, *compiled = [build(candidate) for candidate in (unchanged, *finalists)]
            networks, images = [original, *compiled], np.resize(minibatch.images, network.input_shape)
            key = [latencies.environment_hash, *(own.identity(space, latencies) for own in networks)]
            before, *after = kept(key, lambda: _measured(networks, images))
            for found, taken in [(original, before), *zip(compiled, after, strict=True)]:
                progress.happened(NetworkTimed(str(found.candidate.accepted.candidate), taken.median_ms))
            chosen, timing = _fastest([(original, before), *zip(compiled, after, strict=True)])
            if chosen.saving:
                progress.note(chosen.saving)
    funnel.passed("chosen", int(chosen is not original))
    return Outcome(
        network, space, minibatch, latencies, funnel, judge.original_score, tuple(judged), tuple(timed),
        tuple((finalist.candidate, taken) for finalist, taken in zip(compiled, after, strict=True)),
        chosen.candidate, chosen.choices, chosen.saving, chosen.module, chosen.network, before, timing, judge.reuse,
    )  # fmt: skip


def _original(judge: Judge) -> Judged:
    """The original network as a candidate."""
    return Judged(Candidate(), "drawn", scores={"fisher": judge.original_score})


def _on_all_images(
    space: SearchSpace, judge: Judge, unchanged: Timed, timed: Sequence[Timed]
) -> tuple[dict[int, Judged], list[Judged]]:
    """Scores candidates on all images at once: those with the lowest sums of latencies below the original's, until
    enough are legal by that. Gives what was judged with these scores, by the identity of what it was, and the legal
    ones of them."""
    exact: dict[int, Judged] = {}
    legal: list[Judged] = []
    for found in sorted(timed, key=lambda found: found.latency_ms):
        if len(legal) == FINALISTS or found.latency_ms >= unchanged.latency_ms:
            break
        verdict = judge.exact(space.chosen(found.accepted.candidate))
        own = replace(found.accepted, scores=verdict.scores)
        exact[id(found.accepted)] = own
        if verdict.legal:
            legal.append(own)
    return exact, legal


def _measured(compiled: Sequence[_Compiled], images: np.ndarray) -> list[Measurement]:
    """All networks in one interleaved run."""
    runners = [candidate.network.runner(images) for candidate in compiled]
    return measure(runners, Protocol(rounds=NETWORK_ROUNDS, sample_ms=50.0))


def _fastest(measured: Sequence[tuple[_Compiled, Measurement]]) -> tuple[_Compiled, Measurement]:
    return min(measured, key=lambda pair: pair[1].median_ms)


def _timed(
    space: SearchSpace, accepted: Sequence[Judged], latencies: OperatorLatencies, count: int, stages: Stages
) -> list[Timed]:
    """The ``count`` accepted candidates that the cost model expects to be fastest, timed operator by operator."""
    expected = {id(found): latencies.estimate(space, space.chosen(found.candidate)) for found in accepted}
    shortlist = sorted(accepted, key=lambda found: expected[id(found)])[:count]
    choices = [space.chosen(found.candidate) for found in shortlist]
    operators = {choice.key: choice for layer in space.layers for choice in (space.original(layer),)}
    operators |= {choice.key: choice for chosen in choices for choice in chosen.values()}
    with stages.stage("Time", len(operators)) as progress:
        leader = Leader(space, [found.candidate for found in shortlist], latencies, progress)
        for choice in operators.values():
            leader.time(choice)
            progress.advance()
        for failure in latencies.failures:
            progress.note(f"not timed: {failure}")
    return [Timed(found, latencies.network_ms(space, chosen)) for found, chosen in zip(shortlist, choices, strict=True)]


@dataclass(frozen=True, eq=False)
class _Compiled:
    """A candidate without what nobody reads, as a PyTorch module, and the same compiled with the schedules that were
    timed; with the weights of the module that was judged."""

    candidate: Timed
    choices: Mapping[str, Choice]
    saving: str
    module: nn.Module
    network: CompiledNetwork

    @classmethod
    def of(
        cls, network: Network, space: SearchSpace, latencies: OperatorLatencies, target: Target, candidate: Timed
    ) -> _Compiled:
        """Raises `LoopwrightError` if what is compiled does not compute what was judged."""
        chosen = space.chosen(candidate.accepted.candidate)
        choices = shrunk(network, space, chosen, latencies)
        judged, module = _module(network, chosen), _module(network, choices)
        inherit(module, judged)
        compiled = compile_apart(network, module, target, latencies.schedule)
        require_agreement(network, judged, compiled)
        return cls(candidate, choices, saving(space, chosen, choices), module, compiled)

    def identity(self, space: SearchSpace, latencies: OperatorLatencies) -> str:
        """Equal for networks that run the same kernels."""
        operators = (self.choices.get(layer) or space.original(layer) for layer in space.layers)
        return sha256("; ".join(f"{own.key} {latencies.of(own).schedule}" for own in operators).encode()).hexdigest()


def _module(network: Network, choices: Mapping[str, Choice]) -> nn.Module:
    return transformed(network, {layer: choice.form for layer, choice in choices.items()})
