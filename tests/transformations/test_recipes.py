"""Recipes give the operators that they are named after."""

from __future__ import annotations

import numpy as np
import pytest

from loopwright.errors import NotApplicableError
from loopwright.ir.interpreter import run
from loopwright.ir.verify import verify
from loopwright.operators import parse
from loopwright.transformations.recipes import RECIPES, applicable
from tests.sampling import integers

LARGE = parse("conv2d(co=64, ci=64, oh=32, ow=32, kh=3, kw=3)").nest()
SMALL = parse("conv2d(co=32, ci=8, oh=4, ow=4, kh=3, kw=3)").nest()


@pytest.mark.parametrize(
    ("name", "macs", "parameters"),
    [
        ("spatial_group", 1 / 2, 1),
        ("unroll_group", (16 + 24) / 64, (16 + 24) / 64),
        ("split_group", 3 / 8, 3 / 8),
        ("grouped", 1 / 2, 1 / 2),
        ("depthwise", 1 / 64, 1 / 64),
        ("output_bottleneck", 1 / 2, 1 / 2),
        ("input_bottleneck", 1 / 2, 1 / 2),
        ("spatial_bottleneck", 1 / 4, 1),
    ],
)
def test_shares_of_the_work_and_of_the_weights(name: str, macs: float, parameters: float) -> None:
    nest = RECIPES[name].sequence(LARGE, 2).apply(LARGE)
    verify(nest)
    assert (nest.macs / LARGE.macs, nest.parameters / LARGE.parameters) == (macs, parameters)


def test_sequence_1_gives_each_strip_of_rows_its_own_channels() -> None:
    x, weight = integers(SMALL, 0)
    full = run(SMALL, x, weight)
    found = run(RECIPES["spatial_group"].sequence(SMALL, 2).apply(SMALL), x, weight)
    channels = np.arange(32) % 16
    assert np.array_equal(found[:, :, :2], full[:, channels, :2])
    assert np.array_equal(found[:, :, 2:], full[:, 16 + channels, 2:])


def test_sequence_2_computes_sixteen_channels_in_full() -> None:
    x, weight = integers(SMALL, 1)
    kept = weight.copy()
    kept[16:24, 4:] = 0
    kept[24:, :4] = 0
    assert np.array_equal(run(RECIPES["unroll_group"].sequence(SMALL, 2).apply(SMALL), x, weight), run(SMALL, x, kept))


def test_sequence_3_groups_the_halves_by_different_factors() -> None:
    x, weight = integers(SMALL, 2)
    kept = np.zeros_like(weight)
    for group in range(2):
        kept[group * 8 : group * 8 + 8, group * 4 : group * 4 + 4] = weight[
            group * 8 : group * 8 + 8, group * 4 : group * 4 + 4
        ]
    for group in range(4):
        own = slice(16 + group * 4, 20 + group * 4), slice(group * 2, group * 2 + 2)
        kept[own] = weight[own]
    assert np.array_equal(run(RECIPES["split_group"].sequence(SMALL, 2).apply(SMALL), x, weight), run(SMALL, x, kept))


def test_recipes_that_do_not_fit_are_left_out() -> None:
    rows = parse("conv2d(co=512, ci=512, oh=7, ow=7, kh=3, kw=3)").nest()
    names = {recipe.name for recipe, _, _ in applicable(rows)}
    assert "spatial_bottleneck" not in names
    assert {"grouped", "split_group", "depthwise"} <= names
    with pytest.raises(NotApplicableError):
        RECIPES["spatial_bottleneck"].sequence(rows, 2)
