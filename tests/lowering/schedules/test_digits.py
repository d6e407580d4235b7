"""Dims cut into loops."""

from __future__ import annotations

from itertools import product

import pytest

from loopwright.lowering.schedules.digits import cut, largest_divisor, vector_divisor
from loopwright.lowering.schedules.schedule import CpuSchedule
from tests.lowering.forms import conv, strips


@pytest.mark.parametrize("schedule", [CpuSchedule(16, 2, 2, 4), CpuSchedule(8, 3, 1, 8, unroll_rows=True)])
@pytest.mark.parametrize("form", [conv(64, 32, 8), conv(64, 64, 8, groups=8), strips(64, 32, 8, 2), conv(6, 37, 8)])
def test_digits_count_every_dim(form, schedule) -> None:  # type: ignore[no-untyped-def]
    (contraction,) = form.contractions
    digits = cut(contraction, schedule, 16)
    assert len({digit.name for digit in digits.digits}) == len(digits.digits)
    for k, dim in enumerate(contraction.dims):
        own = [digit for digit in digits.digits if digit.dim == k]
        values = {
            sum(d.step * i for d, i in zip(own, at, strict=True)) for at in product(*(range(d.extent) for d in own))
        }
        assert values == set(range(dim.extent))


def test_the_tile_takes_what_fits() -> None:
    digits = cut(conv(64, 32, 8).contractions[0], CpuSchedule(16, 3, 3, 5), 16)
    assert [digits.extent(kind) for kind in ("lane", "channel", "row", "column", "strip")] == [16, 2, 2, 5, 2]


def test_lanes_take_several_narrow_groups() -> None:
    digits = cut(conv(64, 64, 8, groups=16).contractions[0], CpuSchedule(16, 1, 1, 8), 16)
    assert (
        digits.lane_offsets(dim.input[0] for dim in digits.contraction.dims)
        == (0,) * 4 + (4,) * 4 + (8,) * 4 + (12,) * 4
    )


@pytest.mark.parametrize(
    ("extent", "vector", "whole"), [(64, 16, 16), (24, 8, 12), (10, 10, 10), (6, 6, 6), (7, 7, 7), (34, 2, 2)]
)
def test_divisors(extent: int, vector: int, whole: int) -> None:
    assert vector_divisor(extent, 16) == vector
    assert largest_divisor(extent, 16) == whole
