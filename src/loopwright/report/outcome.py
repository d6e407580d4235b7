"""From a search's outcome to the plain data of its report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from loopwright.report.summary import (
    CandidatePoint,
    FunnelStage,
    KeptLayer,
    LayerFigures,
    NetworkFigures,
    Rejection,
    RunSummary,
    StageTime,
)
from loopwright.search.funnel import Funnel
from loopwright.search.run import Outcome


@dataclass(frozen=True)
class RunInputs:
    """What a run was asked for, when (UTC, ISO 8601), and by which version."""

    command: str
    created: str
    version: str
    target: str
    seed: int


def summary_of(outcome: Outcome, inputs: RunInputs, seconds: Mapping[str, float]) -> RunSummary:
    """All figures; ``seconds`` are those of the run's stages."""
    network = outcome.network
    return RunSummary(
        command=inputs.command,
        created=inputs.created,
        version=inputs.version,
        model=network.name,
        input_shape=network.input_shape,
        target=inputs.target,
        seed=inputs.seed,
        images=outcome.minibatch.source,
        minibatch=len(outcome.minibatch),
        environment=outcome.latencies.environment,
        original=NetworkFigures(
            outcome.original_timing.samples_ms, network.macs, network.parameters, outcome.original_score
        ),
        chosen=_chosen_figures(outcome),
        layers=_layers(outcome),
        kept=tuple(KeptLayer(layer.name, layer.kind, layer.reason) for layer in network.layers if layer.reason),
        funnel=_funnel(outcome.funnel),
        accepted=tuple(
            CandidatePoint(timed.latency_ms, timed.accepted.fisher_potential, timed is outcome.chosen)
            for timed in outcome.timed
        ),
        stages=tuple(StageTime(name, taken) for name, taken in seconds.items()),
        notes=(*([outcome.saving] if outcome.saving else []), *outcome.compiled.notes),
    )


def _chosen_figures(outcome: Outcome) -> NetworkFigures:
    layers = _layers(outcome)
    saved = sum(layer.macs_before - layer.macs_after for layer in layers)
    parameters = sum(parameter.numel() for parameter in outcome.module.parameters())
    return NetworkFigures(
        outcome.chosen_timing.samples_ms,
        outcome.network.macs - saved,
        parameters,
        outcome.chosen.accepted.fisher_potential,
    )


def _layers(outcome: Outcome) -> tuple[LayerFigures, ...]:
    images = outcome.network.input_shape[0]
    figures = []
    for layer in outcome.network.transformable:
        before = outcome.space.original(layer.name)
        after = outcome.choices.get(layer.name, before)
        figures.append(
            LayerFigures(
                layer.name,
                str(layer.operator),
                str(after.sequence),
                before.form.macs * images,
                after.form.macs * images,
                before.form.parameters,
                after.form.parameters,
                outcome.latencies.of(before).latency_ms,
                outcome.latencies.of(after).latency_ms,
            )
        )
    return tuple(figures)


def _funnel(funnel: Funnel) -> tuple[FunnelStage, ...]:
    return tuple(
        FunnelStage(name, count, tuple(Rejection(reason, n) for reason, n in funnel.rejections[name].most_common()))
        for name, count in funnel.counts.items()
    )
