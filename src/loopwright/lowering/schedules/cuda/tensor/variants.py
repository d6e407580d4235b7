"""The schedules on tensor cores that are worth timing for a form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from math import prod

from loopwright.ir.contraction import OperatorForm
from loopwright.lowering.layout import channel_block
from loopwright.lowering.schedules.cuda.tensor.cost import Estimate
from loopwright.lowering.schedules.cuda.tensor.schedule import TensorSchedule
from loopwright.lowering.schedules.cuda.tensor.tiling import Summation, Tiling
from loopwright.lowering.schedules.cuda.tensor.window import Window, windows
from loopwright.targets.target import Target

VARIANTS_AT_MOST, ALIKE_AT_MOST = 24, 3
"""In all, and of one tile with the same warps."""
TILES = ((64, 64), (64, 32), (32, 64), (32, 32), (128, 32), (32, 128), (16, 64), (16, 32))
"""Pixels and channels of a warp."""
WARPS, SHARE_AT_MOST = (2, 4, 8), 4


def variants(form: OperatorForm, target: Target, n: int, precision: str) -> list[TensorSchedule]:
    """At most 24 that fit, by their estimates for ``n`` images; none for a form that is no product of matrices."""
    found = _windows(form, target)
    ranked = []
    for schedule in _schedules(found[0], precision) if found else ():
        estimates = _estimates(found, schedule, target, n)
        if _divides(found, schedule) and all(own.fits for own in estimates):
            ranked.append((sum(own.cycles for own in estimates), schedule))
    ranked.sort(key=lambda pair: pair[0])
    return list(_varied(schedule for _, schedule in ranked))[:VARIANTS_AT_MOST]


def cycles(form: OperatorForm, schedule: TensorSchedule, target: Target, n: int = 1) -> float:
    """What the form, a product of matrices, is estimated to take, in cycles of a multiprocessor."""
    return sum(own.cycles for own in _estimates(_windows(form, target), schedule, target, n))


def takes(form: OperatorForm, schedule: TensorSchedule, input_block: int) -> bool:
    """Whether a kernel of the form, which reads ``input_block`` channels side by side, can have the schedule."""
    found = windows(form, input_block)
    return found is not None and _divides(found, schedule)


def _windows(form: OperatorForm, target: Target) -> tuple[Window, ...]:
    """The products of matrices that a form consists of; empty for another."""
    return windows(form, channel_block(form.input_shape[0], target.activation_block)) or ()


def _divides(found: Sequence[Window], schedule: TensorSchedule) -> bool:
    return all(Summation(window, schedule).divides for window in found)


def _estimates(found: Sequence[Window], schedule: TensorSchedule, target: Target, n: int) -> list[Estimate]:
    if target.gpu is None:
        raise ValueError(f"{target.name} is no GPU")
    return [Estimate(Tiling(Summation(window, schedule), n), target.gpu) for window in found]


def _varied(schedules: Iterable[TensorSchedule]) -> Iterator[TensorSchedule]:
    """The first few of each tile."""
    taken: Counter[TensorSchedule] = Counter()
    for schedule in schedules:
        tile = replace(schedule, depth=1, taps=1, stages=2)
        taken[tile] += 1
        if taken[tile] <= ALIKE_AT_MOST:
            yield schedule


def _schedules(window: Window, precision: str) -> Iterator[TensorSchedule]:
    """Of all warp tiles and numbers of warps, with the taps of a point, a row, or all of the window staged at once."""
    counts = [2**k for k in range(max(WARPS).bit_length())]
    taps = sorted({1, window.kernel[1], prod(window.kernel)})
    for (pixels, channels), down, across, share in product(TILES, counts, counts, counts):
        if down * across * share not in WARPS or share > SHARE_AT_MOST:
            continue
        for staged, depth, stages in product(taps, (1, 2), (2, 3, 4)):
            yield TensorSchedule(precision, pixels, channels, down, across, share, depth, staged, stages)
