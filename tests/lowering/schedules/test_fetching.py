"""Which weights are asked for ahead of time."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from loopwright.ir.contraction import operator_form
from loopwright.lowering.schedules.digits import Digits, cut, loops, tap_points
from loopwright.lowering.schedules.fetching import Fetching
from loopwright.lowering.schedules.schedule import CpuSchedule
from loopwright.lowering.schedules.variants import variants
from loopwright.operators import parse
from loopwright.targets.processors import processor
from loopwright.transformations import TransformationSequence


def digits(operator: str, schedule: CpuSchedule, sequence: str = "") -> Digits:
    form = operator_form(TransformationSequence.parse(sequence).apply(parse(operator).nest()))
    [contraction] = form.contractions
    return cut(contraction, schedule, 16)


def asked(fetching: Fetching, task: int) -> list[int]:
    """All vectors that the tiles ask for which read the weights of the channels' task number ``task``."""
    own, points = fetching.digits, list(tap_points(fetching.digits))
    around = (*own.of("task", "walk", "strip"), *loops(own))
    channels = next(digit for digit in around if digit in own.in_weight and digit.kind == "task")
    found = []
    for values in product(*(range(digit.extent) for digit in around if digit != channels)):
        at = dict(zip((digit.name for digit in around if digit != channels), values, strict=True))
        for number, taps in enumerate(points):
            place = {**at, **taps, channels.name: task}
            found += [
                vector.evaluate({name: place.get(name, 0) for name in vector.variables})
                for vector in fetching.vectors(number, len(points))
            ]
    return found


def line(vector: int, schedule: CpuSchedule) -> int:
    """The line of 64 bytes that the vector lies in."""
    return vector * schedule.lanes // 16


@pytest.mark.parametrize(
    ("operator", "schedule"),
    [
        ("conv2d(co=64, ci=32, oh=7, ow=7, kh=3, kw=3)", CpuSchedule(16, 2, 1, 7, prefetch=64, next_weights=True)),
        ("conv2d(co=64, ci=32, oh=7, ow=7, kh=3, kw=3)", CpuSchedule(16, 1, 1, 3, prefetch=64, next_weights=True)),
        ("conv2d(co=64, ci=48, oh=5, ow=6)", CpuSchedule(16, 1, 1, 3, prefetch=64, next_weights=True)),
        ("conv2d(co=64, ci=48, oh=5, ow=6)", CpuSchedule(8, 1, 1, 3, prefetch=64, next_weights=True)),
        ("conv2d(co=64, ci=32, oh=7, ow=7, kh=3, kw=3)", CpuSchedule(8, 2, 1, 7, prefetch=64, next_weights=True)),
    ],
)
def test_tiles_share_out_fetching_all_that_the_next_channels_read(operator: str, schedule: CpuSchedule) -> None:
    fetching = Fetching(digits(operator, schedule), schedule.prefetch, next_weights=True)
    read = fetching.bytes_read // 64
    assert fetching.sharing > 1
    for task in (0, 1):
        found = [line(vector, schedule) for vector in asked(fetching, task)]
        assert set(range((task + 1) * read, (task + 2) * read)) <= set(found)
        assert max(found) == (task + 2) * read - 1


@pytest.mark.parametrize("schedule", [CpuSchedule(16, 1, 4, 4, True, 64), CpuSchedule(8, 2, 4, 4, True, 64)])
def test_a_tile_of_all_pixels_asks_for_what_comes_a_little_later(schedule: CpuSchedule) -> None:
    fetching = Fetching(digits("conv2d(co=64, ci=32, oh=4, ow=4, kh=3, kw=3)", schedule), 64, next_weights=True)
    assert fetching.sharing == 1
    ahead = line(64, schedule)
    assert sorted(line(vector, schedule) for vector in asked(fetching, 1)) == [ahead + k for k in range(288, 576)]


def test_nothing_is_asked_for_without_a_distance() -> None:
    schedule = CpuSchedule(16, 2, 1, 7)
    fetching = Fetching(digits("conv2d(co=64, ci=32, oh=7, ow=7, kh=3, kw=3)", schedule), 0, next_weights=True)
    assert asked(fetching, 0) == []


@pytest.mark.parametrize(
    ("operator", "fetches"),
    [
        ("conv2d(co=512, ci=512, oh=7, ow=7, kh=3, kw=3)", True),
        ("conv2d(co=64, ci=64, oh=56, ow=56, kh=3, kw=3)", False),
    ],
)
def test_weights_that_outgrow_a_core_s_cache_are_fetched_so(operator: str, fetches: bool) -> None:
    found = variants(operator_form(parse(operator).nest()), replace(processor("cpu-avx512"), l2_bytes=2 << 20))
    assert any(schedule.next_weights for schedule in found) == fetches
    assert not any(schedule.next_weights and schedule.winograd for schedule in found)
