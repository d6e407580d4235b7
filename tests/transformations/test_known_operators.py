"""Recipes are held against the operators of PyTorch that they are named after."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from loopwright.ir.interpreter import run
from loopwright.ir.loopnest import LoopNest
from loopwright.ir.verify import verify
from loopwright.operators import parse
from loopwright.transformations import TransformationSequence
from loopwright.transformations.recipes import RECIPES

CHANNELS, ROWS, COLUMNS = 32, 8, 4
NEST = parse(f"conv2d(co={CHANNELS}, ci={CHANNELS}, oh={ROWS}, ow={COLUMNS}, kh=3, kw=3)").nest()
WIDE = parse(f"conv2d(co={2 * CHANNELS}, ci={CHANNELS}, oh=4, ow=4, kh=3, kw=3)").nest()

Reference = Callable[..., Tensor]
"""Of the input, the weight, and the projection's weight where there is one."""


def diagonal(weight: Tensor, groups: int) -> Tensor:
    """The blocks on the diagonal of a dense weight, as PyTorch stores a grouped one."""
    co, ci = weight.shape[0] // groups, weight.shape[1] // groups
    return torch.cat([weight[g * co : (g + 1) * co, g * ci : (g + 1) * ci] for g in range(groups)])


def conv(x: Tensor, weight: Tensor, groups: int = 1) -> Tensor:
    return functional.conv2d(x, weight, padding=weight.shape[-1] // 2, groups=groups)


def grouped(x: Tensor, weight: Tensor) -> Tensor:
    return conv(x, diagonal(weight, 4), 4)


def depthwise(x: Tensor, weight: Tensor) -> Tensor:
    return conv(x, diagonal(weight, CHANNELS), CHANNELS)


def separable(x: Tensor, weight: Tensor, projection: Tensor) -> Tensor:
    return conv(conv(x, diagonal(weight[:CHANNELS], CHANNELS), CHANNELS), projection[:, :, None, None])


def grouped_separable(x: Tensor, weight: Tensor, projection: Tensor) -> Tensor:
    return conv(grouped(x, weight), projection[:, :, None, None])


def low_rank(x: Tensor, weight: Tensor, projection: Tensor) -> Tensor:
    return conv(conv(x, weight[: CHANNELS // 4]), projection[:, :, None, None])


def input_bottleneck(x: Tensor, weight: Tensor) -> Tensor:
    return conv(x[:, : CHANNELS // 4], weight[:, : CHANNELS // 4])


def output_bottleneck(x: Tensor, weight: Tensor) -> Tensor:
    return conv(x, weight[: CHANNELS // 4]).repeat(1, 4, 1, 1)


def pointwise(x: Tensor, weight: Tensor) -> Tensor:
    return conv(x, weight[:, :, 1:2, 1:2])


def spatial_bottleneck(x: Tensor, weight: Tensor) -> Tensor:
    kept = functional.conv2d(x, weight, padding=1, stride=4)
    rows, columns = ([min((place + 1) // 4, size // 4 - 1) for place in range(size)] for size in (ROWS, COLUMNS))
    return kept[:, :, rows][:, :, :, columns]


def ghost(x: Tensor, weight: Tensor) -> Tensor:
    kept = CHANNELS // 4
    groups = 8
    return torch.cat([conv(x, weight[:kept]), conv(x, diagonal(weight[kept:], groups), groups)], 1)


def untied_strips(x: Tensor, weight: Tensor) -> Tensor:
    whole = [conv(x, version) for version in weight]
    return torch.cat([strip.chunk(4, 2)[k] for k, strip in enumerate(whole)], 2)


def isolated_strips(x: Tensor, weight: Tensor) -> Tensor:
    return torch.cat([conv(strip, version) for strip, version in zip(x.chunk(4, 2), weight, strict=True)], 2)


def unroll_group(x: Tensor, weight: Tensor) -> Tensor:
    return torch.cat([conv(x, weight[:16]), conv(x, diagonal(weight[16:], 4), 4)], 1)


def narrow_unroll_group(x: Tensor, weight: Tensor) -> Tensor:
    return torch.cat([conv(x, weight[:16]), conv(x[:, 16:], diagonal(weight[16:, 16:], 4), 4)], 1)


def split_group(x: Tensor, weight: Tensor) -> Tensor:
    first, second = weight.chunk(2)
    return torch.cat([conv(x, diagonal(first, 4), 4), conv(x, diagonal(second, 8), 8)], 1)


def spatial_group(x: Tensor, weight: Tensor) -> Tensor:
    strips = [conv(x, part).repeat(1, 4, 1, 1).chunk(4, 2)[k] for k, part in enumerate(weight.chunk(4))]
    return torch.cat(strips, 2)


def locally_connected(x: Tensor, weight: Tensor) -> Tensor:
    patches = functional.unfold(x, 3, padding=1)[0]
    return torch.einsum("lok,kl->ol", weight.flatten(2), patches).reshape(1, CHANNELS, ROWS, COLUMNS)


NAMED: dict[str, Reference] = {
    "grouped": grouped,
    "depthwise": depthwise,
    "depthwise_separable": separable,
    "grouped_separable": grouped_separable,
    "low_rank": low_rank,
    "input_bottleneck": input_bottleneck,
    "output_bottleneck": output_bottleneck,
    "pointwise": pointwise,
    "spatial_bottleneck": spatial_bottleneck,
    "ghost": ghost,
    "untied_strips": untied_strips,
    "isolated_strips": isolated_strips,
    "unroll_group": unroll_group,
    "narrow_unroll_group": narrow_unroll_group,
    "split_group": split_group,
    "spatial_group": spatial_group,
    "locally_connected": locally_connected,
}


def test_every_recipe_is_held_against_pytorch() -> None:
    assert NAMED.keys() == RECIPES.keys()


@pytest.mark.parametrize("name", NAMED)
def test_recipe_is_what_it_is_named_after(name: str) -> None:
    nest = RECIPES[name].sequence(NEST, 4).apply(NEST)
    verify(nest)
    _compare(nest, NAMED[name])


def test_depthwise_separable_to_more_channels() -> None:
    _compare(RECIPES["depthwise_separable"].sequence(WIDE).apply(WIDE), separable)


@pytest.mark.parametrize(
    "text",
    [
        "conv2d(co=4, ci=4, oh=8, ow=4, kh=5, kw=3)",
        "conv2d(co=4, ci=4, oh=8, ow=4, kh=3, kw=3, stride=2)",
        "conv2d(co=4, ci=4, oh=8, ow=4, kh=3, kw=3, dilation=2)",
        "conv2d(co=4, ci=4, oh=8, ow=4)",
    ],
)
def test_isolated_strips_of_other_convolutions(text: str) -> None:
    nest = parse(text).nest()
    stride = 2 if "stride" in text else 1
    dilation = 2 if "dilation" in text else 1
    pad = tuple((size - 1) * dilation // 2 for size in nest.computation.weight.shape[2:])

    def reference(x: Tensor, weight: Tensor) -> Tensor:
        pairs = zip(x.chunk(2, 2), weight, strict=True)
        return torch.cat([functional.conv2d(s, w, padding=pad, stride=stride, dilation=dilation) for s, w in pairs], 2)

    _compare(RECIPES["isolated_strips"].sequence(nest, 2).apply(nest), reference)


@pytest.mark.parametrize(
    ("sequence", "source"),
    [
        ("bottleneck(oh, 2, complete=repeat)", [0, 0, 2, 2, 4, 4, 6, 6]),
        ("bottleneck(oh, 4)", [0, 0, 0, 4, 4, 4, 4, 4]),
        ("bottleneck(oh, 2, keep=prefix)", [0, 1, 2, 3, 3, 3, 3, 3]),
        ("bottleneck(oh, 2, keep=prefix, complete=repeat)", [0, 1, 2, 3, 0, 1, 2, 3]),
        ("bottleneck(oh, 2, keep=centre)", [2, 2, 2, 3, 4, 5, 5, 5]),
        ("bottleneck(oh, 2, keep=centre, complete=repeat)", [4, 5, 2, 3, 4, 5, 2, 3]),
    ],
)
def test_completions_along_rows(sequence: str, source: list[int]) -> None:
    def reference(x: Tensor, weight: Tensor) -> Tensor:
        return conv(x, weight)[:, :, source]

    _compare(TransformationSequence.parse(sequence).apply(NEST), reference)


@pytest.mark.parametrize(
    ("sequence", "source"),
    [
        ("bottleneck(co, 4, keep=stride)", [o // 4 * 4 for o in range(CHANNELS)]),
        ("bottleneck(co, 4, keep=stride, complete=nearest)", [min((o + 1) // 4, 7) * 4 for o in range(CHANNELS)]),
        ("bottleneck(co, 4, complete=nearest)", [min(o, 7) for o in range(CHANNELS)]),
        ("bottleneck(co, 4, keep=centre)", [12 + (o - 12) % 8 for o in range(CHANNELS)]),
    ],
)
def test_completions_along_channels(sequence: str, source: list[int]) -> None:
    def reference(x: Tensor, weight: Tensor) -> Tensor:
        return conv(x, weight)[:, source]

    _compare(TransformationSequence.parse(sequence).apply(NEST), reference)


@pytest.mark.parametrize(
    ("keep", "kept"), [("prefix", range(8)), ("stride", range(0, 32, 4)), ("centre", range(12, 20))]
)
def test_projection_of_kept_channels(keep: str, kept: range) -> None:
    def reference(x: Tensor, weight: Tensor, projection: Tensor) -> Tensor:
        return conv(conv(x, weight[list(kept)]), projection[:, :, None, None])

    sequence = TransformationSequence.parse(f"bottleneck(co, 4, keep={keep}, complete=project)")
    _compare(sequence.apply(NEST), reference)


def _compare(nest: LoopNest, reference: Reference) -> None:
    values = np.random.default_rng(0)
    x, weight = (values.integers(-4, 5, access.shape) for access in (nest.computation.input, nest.weight))
    shapes = [nest.projection.nest.weight.shape] if nest.projection else []
    projection = [values.integers(-4, 5, shape) for shape in shapes]
    expected = reference(*(torch.from_numpy(array).float() for array in (x, weight, *projection)))
    found = run(nest, x, weight, *projection)
    assert found.shape == tuple(expected.shape)
    assert np.abs(found - expected.numpy()).max() <= 1e-3 * np.abs(found).max()
