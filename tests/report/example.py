"""An invented run with plausible numbers."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import replace

from loopwright.report.families import count
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

STAGES = ((3, 64, 32), (4, 128, 16), (6, 256, 8), (3, 512, 4))
CHOICES = (
    ("identity", "untransformed", 1, 1.0),
    ("group(co, ci, 2)", "grouped(2)", 2, 0.52),
    ("reorder(ci, co, oh, ow, kh, kw) -> bottleneck(ci, 4)", "", 4, 0.31),
    ("partition(co, 32) -> on s0: group(co, ci, 2) -> on s1: group(co, ci, 8)", "", 3, 0.4),
)
ORIGINAL_SCORE = 8.42e-4
CONFIGURATIONS, LEGAL, ACCEPTED, SHORTLIST = 1000, 687, 90, 16


def example_run(seed: int = 0) -> RunSummary:
    draw = random.Random(seed)
    workloads = tuple(_workloads())
    operators = tuple(_operators(workloads))
    candidates = tuple(_candidates(draw, workloads, operators))
    chosen = next(candidate for candidate in candidates if candidate.chosen)
    return RunSummary(
        command="loopwright optimize resnet34 --target cpu --out runs/resnet34",
        created="2026-03-14T09:26:53+00:00",
        version="0.1.0",
        model="resnet34",
        input_shape=(1, 3, 32, 32),
        target="cpu",
        seed=0,
        configurations=CONFIGURATIONS,
        shortlist=SHORTLIST,
        images="32 of 512 packaged CIFAR-10 training images, seed 0",
        minibatch=32,
        environment={"processor": "x86-64 with AVX-512", "threads": "2", "torch": "2.13.0", "tvm": "0.27.0.post1"},
        original=_network(draw, 14.6, 1_159_475_200, 21_282_122, ORIGINAL_SCORE),
        chosen=_network(draw, 5.21, 402_915_328, 7_204_938, chosen.scores["fisher"]),
        layers=tuple(_layers(workloads, operators, chosen)),
        kept=(KeptLayer("linear", "linear", "not a two-dimensional convolution"),),
        funnel=_funnel(),
        operators=operators,
        candidates=candidates,
        space="714 sequences drawn: 253 distinct operators, 461 others",
        store=(StoreUse("verdicts", 12, 675), StoreUse("timed operators", 3, 13)),
        stages=(StageTime("Trace", 2.1), StageTime("Judge", 163.4), StageTime("Time", 141.9)),
        notes=("33 of 36 convolutions were transformed.",),
    )


def empty_run() -> RunSummary:
    return replace(
        example_run(),
        layers=(),
        kept=(),
        funnel=(FunnelStage("drawn", 0),),
        operators=(),
        candidates=(),
        space="",
        store=(),
        stages=(),
        notes=(),
    )


def _network(draw: random.Random, latency_ms: float, macs: int, parameters: int, fisher: float) -> NetworkFigures:
    samples = tuple(round(latency_ms * (1 + abs(draw.gauss(0, 0.02))), 4) for _ in range(40))
    return NetworkFigures(samples, macs, parameters, fisher)


def _workloads() -> Iterator[tuple[str, str]]:
    """Layers and their operators."""
    for index, (blocks, channels, size) in enumerate(STAGES, 1):
        for block in range(blocks):
            for conv in (1, 2):
                operator = f"conv2d(co={channels}, ci={channels}, oh={size}, ow={size}, kh=3, kw=3)"
                yield f"layer{index}.{block}.conv{conv}", operator


def _operators(workloads: tuple[tuple[str, str], ...]) -> Iterator[OperatorFigures]:
    for workload in dict.fromkeys(operator for _, operator in workloads):
        channels, size = (int(re.search(rf"{loop}=(\d+)", workload)[1]) for loop in ("co", "oh"))
        macs, parameters = channels * channels * 9 * size * size, channels * channels * 9
        for sequence, name, divisor, factor in CHOICES:
            figures = (macs // divisor, parameters // divisor, round(0.38 * factor, 4))
            yield OperatorFigures(workload, sequence, name, *figures)


def _candidates(
    draw: random.Random, workloads: tuple[tuple[str, str], ...], operators: tuple[OperatorFigures, ...]
) -> Iterator[CandidateFigures]:
    for number in range(1, CONFIGURATIONS + 1):
        picked = tuple(_picked(draw, workload, operators) for _, workload in workloads)
        took = [operators[index] for index in picked]
        timed, score = number <= SHORTLIST, ORIGINAL_SCORE * (1 + draw.expovariate(6))
        if number > ACCEPTED:
            score = ORIGINAL_SCORE * draw.uniform(0.4, 0.99)
        scored = {"fisher": score, "fisher_original": ORIGINAL_SCORE, "images": 32.0}
        reached, reason = "timed" if timed else "legal by capacity", ""
        if number > LEGAL:
            scored, reached, reason = {}, "valid", "receptive field"
        elif number > ACCEPTED:
            reached, reason = "legal by structure", "Fisher Potential below the original's"
        yield CandidateFigures(
            number,
            reached,
            reason,
            sum(operator.macs for operator in took),
            sum(operator.parameters for operator in took),
            scored,
            count(operator.sequence for operator in took),
            round(sum(operator.latency_ms for operator in took), 3) if timed else None,
            5.21 if number == 1 else None,
            picked if timed else (),
            number == 1,
        )


def _picked(draw: random.Random, workload: str, operators: tuple[OperatorFigures, ...]) -> int:
    return draw.choice([index for index, operator in enumerate(operators) if operator.workload == workload])


def _layers(
    workloads: tuple[tuple[str, str], ...], operators: tuple[OperatorFigures, ...], chosen: CandidateFigures
) -> Iterator[LayerFigures]:
    for (name, workload), index in zip(workloads, chosen.operators, strict=True):
        before = next(operator for operator in operators if operator.workload == workload)
        after = operators[index]
        yield LayerFigures(
            name,
            workload,
            after.sequence,
            before.macs,
            after.macs,
            before.parameters,
            after.parameters,
            before.latency_ms,
            after.latency_ms,
        )


def _funnel() -> tuple[FunnelStage, ...]:
    structure = (
        Rejection("receptive field: output position (0, 0) sees 4 of the 9 input pixels that the original sees", 212),
        Rejection("receptive field: 96 input pixels are read by nothing", 101),
    )
    fisher = (Rejection("Fisher Potential below the original's", 597),)
    return (
        FunnelStage("drawn", 1000),
        FunnelStage("valid", 1000),
        FunnelStage("legal by structure", 687, structure),
        FunnelStage("legal by capacity", 90, fisher),
        FunnelStage("timed", 16),
        FunnelStage("chosen", 1),
    )
