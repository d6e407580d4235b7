"""The schedules that are tried."""

from __future__ import annotations

import pytest

from loopwright.lowering.schedules.cost import Tiling
from loopwright.lowering.schedules.schedule import CpuSchedule
from loopwright.lowering.schedules.variants import variants
from loopwright.targets.cpu import VECTOR_UNITS
from loopwright.targets.target import Target
from tests.lowering.forms import channel_bottleneck, conv, parts, strips

TARGETS = [Target(u.name, "llvm", u.processor, u.features, u.lanes, u.registers, 2, 2**15, 2**20) for u in VECTOR_UNITS]
FORMS = [
    conv(64, 64, 32),
    conv(10, 3, 5),
    conv(32, 32, 8, groups=32),
    parts(64, 64, 8, [(16, 1), (48, 2)]),
    strips(64, 64, 8, 2),
]


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
@pytest.mark.parametrize("form", [*FORMS, channel_bottleneck(32, 16, 8)])
def test_variants_differ_and_fit_the_registers(form, target: Target) -> None:  # type: ignore[no-untyped-def]
    found = variants(form, target)
    assert 1 <= len(found) <= 24
    assert len({Tiling.of(form, schedule, target).shapes for schedule in found}) == len(found)
    assert all(schedule.accumulators < target.vector_registers for schedule in found)


def test_the_best_dense_tile_is_wide_enough_to_hide_latency() -> None:
    first = variants(conv(64, 64, 32), TARGETS[0])[0]
    assert first.lanes == 16
    assert 10 <= first.accumulators <= 28


@pytest.mark.parametrize("form", FORMS)
def test_schedules_are_read_back_from_their_text(form) -> None:  # type: ignore[no-untyped-def]
    found = variants(form, TARGETS[0])
    assert [CpuSchedule.parse(str(schedule)) for schedule in found] == found


def test_algorithms_that_may_win_come_first() -> None:
    first = variants(conv(64, 64, 32), TARGETS[0])[:3]
    assert {(schedule.winograd, schedule.by_channel) for schedule in first} >= {(4, False), (4, True)}
