"""Dead outputs are removed, live ones keep their values exactly."""

from __future__ import annotations

import random

import numpy as np
import pytest

from loopwright.ir.interpreter import run
from loopwright.ir.verify import verify
from loopwright.operators import parse
from loopwright.transformations import TransformationSequence
from loopwright.transformations.shrinking import dead_removed
from tests.sampling import integers, random_nest, random_operator

CONV = "conv2d(co=8, ci=4, oh=4, ow=4, kh=3, kw=3)"


def random_live(channels: int, rng: random.Random) -> np.ndarray:
    """A first, a middle or a strided part, or any channels."""
    part = max(1, channels // rng.choice([2, channels]))
    kinds = [range(part), range(0, channels, channels // part), rng.sample(range(channels), part)]
    return np.isin(np.arange(channels), list(rng.choice(kinds)))


@pytest.mark.parametrize("seed", range(80))
def test_live_channels_keep_their_values(seed: int) -> None:
    rng = random.Random(seed)
    nest = random_nest(random_operator(rng), rng, 5)
    live = random_live(nest.computation.output.shape[1], rng)
    shrunk = dead_removed(nest, live).apply(nest)
    verify(shrunk)
    x, weight = integers(nest, seed)
    left = weight.reshape(-1, *nest.computation.weight.shape)[: shrunk.versions].reshape(shrunk.weight.shape)
    assert np.array_equal(run(nest, x, weight)[:, live], run(shrunk, x, left)[:, live])
    assert shrunk.macs <= nest.macs


def test_random_nests_do_shrink() -> None:
    shrunk = 0
    for seed in range(80):
        rng = random.Random(seed)
        nest = random_nest(random_operator(rng), rng, 5)
        shrunk += bool(dead_removed(nest, random_live(nest.computation.output.shape[1], rng)).steps)
    assert shrunk > 25


@pytest.mark.parametrize(
    ("sequence", "live", "removed", "share"),
    [
        ("identity", range(8), "identity", 1),
        ("identity", [], "bottleneck(co, 8)", 8),
        ("identity", [0, 1, 4], "split(co, 4) -> bottleneck(co_inner, 2)", 2),
        ("identity", [1, 2, 5, 6], "split(co, 4) -> bottleneck(co_inner, 2, keep=centre)", 2),
        ("identity", range(4), "bottleneck(co, 2)", 2),
        ("identity", [0], "bottleneck(co, 8)", 8),
        ("identity", [0, 4], "bottleneck(co, 4, keep=stride)", 4),
        ("identity", [2, 3, 4, 5], "bottleneck(co, 2, keep=centre)", 2),
        ("identity", [0, 1, 2], "bottleneck(co, 2)", 2),
        ("identity", [7], "identity", 1),
        ("group(co, ci, 2)", range(4), "bottleneck(g, 2)", 2),
        ("group(co, ci, 2)", [0, 1, 4, 5], "bottleneck(co, 2)", 2),
        ("bottleneck(co, 2)", [4, 5], "bottleneck(co, 2)", 2),
        ("bottleneck(co, 2, complete=project)", [0], "identity", 1),
        ("split(oh, 2) -> untie(oh_outer)", range(4), "bottleneck(co, 2)", 2),
        ("partition(co, 4)", [4, 5, 6, 7], "on s0: bottleneck(co, 4)", 8 / 5),
        ("partition(co, 4)", [0, 4, 5], "on s0: bottleneck(co, 4) -> on s1: bottleneck(co, 2)", 8 / 3),
        ("partition(ci, 2)", range(4), "on s0: bottleneck(co, 2) -> on s1: bottleneck(co, 2)", 2),
    ],
)
def test_what_is_removed(sequence: str, live: list[int], removed: str, share: float) -> None:
    nest = TransformationSequence.parse(sequence).apply(parse(CONV).nest())
    steps = dead_removed(nest, np.isin(np.arange(8), list(live)))
    assert str(steps) == removed
    assert steps.apply(nest).macs * share == nest.macs
