"""From a search's outcome to the plain data of its report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from math import isfinite

from loopwright.operators import parse
from loopwright.report import families
from loopwright.report.summary import (
    CandidateFigures,
    FunnelStage,
    KeptLayer,
    LayerFigures,
    NetworkFigures,
    OperatorFigures,
    Rejection,
    RunSummary,
    StageTime,
    StoreUse,
)
from loopwright.search.discover import names
from loopwright.search.funnel import Funnel
from loopwright.search.judged import Judged
from loopwright.search.reuse import Reuse
from loopwright.search.run import Outcome
from loopwright.search.space import Choice

PACKAGES = ("torch", "islpy")
"""What results depend on beside the environment of timings."""


@dataclass(frozen=True)
class RunInputs:
    """What a run was asked for, when (UTC, ISO 8601), and by which version."""

    command: str
    created: str
    version: str
    target: str
    seed: int
    shortlist: int


def summary_of(outcome: Outcome, inputs: RunInputs, seconds: Mapping[str, float]) -> RunSummary:
    """All figures; ``seconds`` are those of the run's stages."""
    network, operators = outcome.network, _Operators(outcome)
    layers, candidates = _layers(outcome, operators), _candidates(outcome, operators)
    return RunSummary(
        command=inputs.command,
        created=inputs.created,
        version=inputs.version,
        model=network.name,
        input_shape=network.input_shape,
        target=inputs.target,
        seed=inputs.seed,
        configurations=len(outcome.judged),
        shortlist=inputs.shortlist,
        images=outcome.minibatch.source,
        minibatch=len(outcome.minibatch),
        environment=outcome.latencies.environment | {package: version(package) for package in PACKAGES},
        original=NetworkFigures(
            outcome.original_timing.samples_ms, network.macs, network.parameters, outcome.original_score
        ),
        chosen=_chosen_figures(outcome, layers),
        layers=layers,
        kept=tuple(KeptLayer(layer.name, layer.kind, layer.reason) for layer in network.layers if layer.reason),
        funnel=_funnel(outcome.funnel),
        operators=tuple(operators.figures),
        candidates=candidates,
        space=str(outcome.space.drawn),
        store=(_use("verdicts", outcome.verdicts), _use("timed operators", outcome.latencies.reuse)),
        stages=tuple(StageTime(name, taken) for name, taken in seconds.items()),
        notes=(*([outcome.saving] if outcome.saving else []), *outcome.compiled.notes),
    )


class _Operators:
    """The distinct operators asked for so far, as ``figures``."""

    def __init__(self, outcome: Outcome):
        self._outcome = outcome
        self._indices: dict[tuple[str, str], int] = {}
        self.figures: list[OperatorFigures] = []

    def index(self, layer: str, choice: Choice) -> int:
        """Where the layer's operator stands among the figures."""
        workload = self._outcome.space.layers[layer]
        key = (workload, str(choice.sequence))
        if key not in self._indices:
            self._indices[key] = len(self.figures)
            self.figures.append(self._of(workload, choice))
        return self._indices[key]

    def _of(self, workload: str, choice: Choice) -> OperatorFigures:
        latency_ms = self._outcome.latencies.of(choice).latency_ms
        return OperatorFigures(
            workload,
            str(choice.sequence),
            _names(workload).get(choice.key, ""),
            choice.form.macs * self._outcome.network.input_shape[0],
            choice.form.parameters,
            _finite(latency_ms),
        )


@cache
def _names(workload: str) -> Mapping[str, str]:
    """The recipes' names of the operators that a workload can become, by key."""
    return names(parse(workload).nest())


def _candidates(outcome: Outcome, operators: _Operators) -> tuple[CandidateFigures, ...]:
    finalists = {found.candidate: timing.median_ms for found, timing in outcome.finalists}
    candidates = []
    for number, judged in enumerate(outcome.judged, 1):
        choices = outcome.pool.delivered(outcome.space.chosen(judged.candidate))
        macs, parameters = _counts(outcome, choices)
        candidates.append(
            CandidateFigures(
                number,
                judged.reached,
                judged.reason,
                macs,
                parameters,
                _scores(judged),
                families.count(text for _, text in judged.candidate.sequences),
                _finite(judged.latency_ms),
                finalists.get(judged.candidate),
                _operators(outcome, operators, choices) if judged.accepted else (),
                judged is outcome.chosen,
            )
        )
    return tuple(candidates)


def _operators(outcome: Outcome, operators: _Operators, choices: Mapping[str, Choice]) -> tuple[int, ...]:
    """The operator of every layer."""
    return tuple(
        operators.index(layer.name, choices.get(layer.name) or outcome.space.original(layer.name))
        for layer in outcome.network.transformable
    )


def _counts(outcome: Outcome, choices: Mapping[str, Choice]) -> tuple[int, int]:
    """MACs for the traced batch and parameters of the network with these changes."""
    pairs = [(outcome.space.original(layer).form, choice.form) for layer, choice in choices.items()]
    saved = sum(before.macs - after.macs for before, after in pairs) * outcome.network.input_shape[0]
    fewer = sum(before.parameters - after.parameters for before, after in pairs)
    return outcome.network.macs - saved, outcome.network.parameters - fewer


def _scores(judged: Judged) -> dict[str, float]:
    return {name: float(score) for name, score in judged.scores.items() if isfinite(score)}


def _finite(latency_ms: float) -> float | None:
    """None for what could not be timed."""
    return latency_ms if isfinite(latency_ms) else None


def _use(kind: str, reuse: Reuse) -> StoreUse:
    return StoreUse(kind, reuse.found, reuse.made)


def _chosen_figures(outcome: Outcome, layers: tuple[LayerFigures, ...]) -> NetworkFigures:
    saved = sum(layer.macs_before - layer.macs_after for layer in layers)
    parameters = sum(parameter.numel() for parameter in outcome.module.parameters())
    return NetworkFigures(
        outcome.chosen_timing.samples_ms,
        outcome.network.macs - saved,
        parameters,
        outcome.chosen.fisher_potential,
    )


def _layers(outcome: Outcome, operators: _Operators) -> tuple[LayerFigures, ...]:
    """Every transformable layer, with what is delivered."""
    figures = []
    for layer in outcome.network.transformable:
        original = outcome.space.original(layer.name)
        delivered = outcome.choices.get(layer.name, original)
        before, after = (operators.figures[operators.index(layer.name, choice)] for choice in (original, delivered))
        figures.append(
            LayerFigures(
                layer.name,
                before.workload,
                after.sequence,
                before.macs,
                after.macs,
                before.parameters,
                after.parameters,
                before.latency_ms,
                after.latency_ms,
            )
        )
    return tuple(figures)


def _funnel(funnel: Funnel) -> tuple[FunnelStage, ...]:
    return tuple(
        FunnelStage(name, count, tuple(Rejection(reason, n) for reason, n in funnel.rejections[name].most_common()))
        for name, count in funnel.counts.items()
    )
