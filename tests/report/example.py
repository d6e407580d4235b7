"""An invented run with plausible numbers."""

from __future__ import annotations

import random
from dataclasses import replace

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

STAGES = ((3, 64, 32), (4, 128, 16), (6, 256, 8), (3, 512, 4))
CHOICES = (
    ("identity", 1, 1.0),
    ("group(co, ci, 2)", 2, 0.52),
    ("reorder(ci, co, oh, ow, kh, kw) -> bottleneck(ci, 4)", 4, 0.31),
    ("partition(co, 32) -> on s0: group(co, ci, 2) -> on s1: group(co, ci, 8)", 3, 0.4),
)


def example_run(seed: int = 0) -> RunSummary:
    draw = random.Random(seed)
    layers = tuple(_layers(draw))
    return RunSummary(
        command="loopwright optimize resnet34 --target cpu --out runs/resnet34",
        created="2026-03-14T09:26:53+00:00",
        version="0.1.0",
        model="resnet34",
        input_shape=(1, 3, 32, 32),
        target="cpu",
        seed=0,
        images="CIFAR-10 training images, packaged sample",
        minibatch=32,
        environment={"processor": "x86-64 with AVX-512", "threads": "2", "torch": "2.13.0", "tvm": "0.27.0.post1"},
        original=_network(draw, 14.6, 1_159_475_200, 21_282_122, 8.42e-4),
        chosen=_network(draw, 5.21, 402_915_328, 7_204_938, 9.06e-4),
        layers=layers,
        kept=(KeptLayer("linear", "linear", "not a two-dimensional convolution"),),
        funnel=_funnel(),
        accepted=tuple(_accepted(draw)),
        stages=(StageTime("Trace", 2.1), StageTime("Judge", 163.4), StageTime("Time", 141.9)),
        notes=("33 of 36 convolutions were transformed.",),
    )


def empty_run() -> RunSummary:
    return replace(
        example_run(), layers=(), kept=(), funnel=(FunnelStage("drawn", 0),), accepted=(), stages=(), notes=()
    )


def _network(draw: random.Random, latency_ms: float, macs: int, parameters: int, fisher: float) -> NetworkFigures:
    samples = tuple(round(latency_ms * (1 + abs(draw.gauss(0, 0.02))), 4) for _ in range(40))
    return NetworkFigures(samples, macs, parameters, fisher)


def _layers(draw: random.Random):
    for index, (blocks, channels, size) in enumerate(STAGES, 1):
        for block in range(blocks):
            for conv in (1, 2):
                sequence, divisor, factor = draw.choice(CHOICES)
                macs, parameters = channels * channels * 9 * size * size, channels * channels * 9
                name = f"layer{index}.{block}.conv{conv}"
                operator = f"conv2d(co={channels}, ci={channels}, oh={size}, ow={size}, kh=3, kw=3, stride=1)"
                figures = (macs, macs // divisor, parameters, parameters // divisor, 0.38, round(0.38 * factor, 4))
                yield LayerFigures(name, operator, sequence, *figures)


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
        FunnelStage("legal by Fisher", 90, fisher),
        FunnelStage("timed", 90),
        FunnelStage("chosen", 1),
    )


def _accepted(draw: random.Random):
    yield CandidatePoint(5.02, 9.06e-4, chosen=True)
    for _ in range(89):
        yield CandidatePoint(round(draw.uniform(5.2, 12.0), 3), 8.42e-4 * (1 + draw.expovariate(6)))
