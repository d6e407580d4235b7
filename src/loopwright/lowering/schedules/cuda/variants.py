"""The schedules worth timing for a form on a GPU."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import product
from math import prod

from loopwright.ir.contraction import OperatorForm
from loopwright.lowering.layout import channel_block
from loopwright.lowering.schedules.cuda.cost import WARP, Estimate
from loopwright.lowering.schedules.cuda.cutting import cut
from loopwright.lowering.schedules.cuda.schedule import LANES, CudaSchedule
from loopwright.targets.target import Target

VARIANTS_AT_MOST = 24
VECTORS_AT_MOST = 16
THREADS = (64, 256)
"""The fewest and the most threads of a block that are looked at."""
COARSE, SHARE_AT_MOST = 4, 64


def variants(form: OperatorForm, target: Target, n: int = 1) -> list[CudaSchedule]:
    """At most 24 schedules that differ for this form and ``n`` images, by their estimates: of a coarse grid of threads,
    and of what lies between its best points and their neighbours."""
    ranking = _Ranking(form, target, n)
    ranking.add(_coarse(form))
    ranking.add(near for schedule in ranking.best for near in _near(schedule))
    return ranking.best or [CudaSchedule(1, 1, 1)]


class _Ranking:
    """Schedules that fit a form, by their estimates; of those that cut it alike there is one."""

    def __init__(self, form: OperatorForm, target: Target, n: int):
        self._form, self._target, self._n = form, target, n
        self._found: dict[object, tuple[float, CudaSchedule]] = {}

    def add(self, schedules: Iterable[CudaSchedule]) -> None:
        for schedule in schedules:
            estimates = _estimates(self._form, schedule, self._target, self._n)
            key = tuple(own.digits.digits for own in estimates)
            if key not in self._found and all(own.fits for own in estimates):
                self._found[key] = (sum(own.cycles for own in estimates), schedule)

    @property
    def best(self) -> list[CudaSchedule]:
        ranked = sorted(self._found.values(), key=lambda pair: pair[0])
        return [schedule for _, schedule in ranked[:VARIANTS_AT_MOST]]


def cycles(form: OperatorForm, schedule: CudaSchedule, target: Target, n: int = 1) -> float:
    """What the form is estimated to take, in cycles of a multiprocessor."""
    return sum(own.cycles for own in _estimates(form, schedule, target, n))


def _estimates(form: OperatorForm, schedule: CudaSchedule, target: Target, n: int) -> list[Estimate]:
    if target.gpu is None:
        raise ValueError(f"{target.name} is no GPU")
    block = channel_block(form.input_shape[0], target.activation_block)
    cuts = [cut(contraction, schedule, block) for contraction in form.contractions]
    return [Estimate(own, n, form.input_shape, target.gpu) for own in cuts]


def _coarse(form: OperatorForm) -> Iterator[CudaSchedule]:
    """All register tiles, with threads of every second power of two."""
    rows, columns = _extents(form, 1), _extents(form, 2)
    channels, shares = _channels(form), _powers(min(_reduced(form), SHARE_AT_MOST), COARSE)
    for vectors, tall, wide in product((1, 2), _divisors(rows, 4), _divisors(columns, 8)):
        if vectors * tall * wide > VECTORS_AT_MOST:
            continue
        pixels = _powers(rows // tall * (columns // wide), COARSE)
        for across, over, share in product(_powers(channels // LANES // vectors, COARSE), pixels, shares):
            thread_columns = min(over, columns // wide)
            schedule = CudaSchedule(vectors, tall, wide, across, over // thread_columns, thread_columns, share)
            if THREADS[0] <= schedule.threads <= THREADS[1] or (schedule.threads < THREADS[0] and share == shares[-1]):
                yield schedule


def _near(schedule: CudaSchedule) -> Iterator[CudaSchedule]:
    """With half, as many or twice as many threads across channels, over pixels and for the reduction."""
    for channels, rows, columns, share in product((0.5, 1, 2), repeat=4):
        if rows != 1 and columns != 1:
            continue
        near = replace(
            schedule,
            thread_channels=int(schedule.thread_channels * channels),
            thread_rows=int(schedule.thread_rows * rows),
            thread_columns=int(schedule.thread_columns * columns),
            share=int(schedule.share * share),
        )
        if 0 < near.threads <= THREADS[1] and near.share <= SHARE_AT_MOST:
            yield near


def _divisors(extent: int, most: int) -> list[int]:
    """Few divisors: powers of two, and the largest."""
    found = [divisor for divisor in range(1, most + 1) if extent % divisor == 0]
    return sorted({divisor for divisor in found if divisor & (divisor - 1) == 0} | {found[-1]})


def _powers(extent: int, step: int) -> list[int]:
    """Powers of ``step`` up to an extent, and the extent where it is small."""
    found = [step**k for k in range(SHARE_AT_MOST.bit_length()) if step**k <= min(extent, THREADS[1])]
    return sorted({*found, *([extent] if 1 < extent <= WARP else [])}) or [1]


def _extents(form: OperatorForm, axis: int) -> int:
    """The longest loop over pixels along an axis."""
    dims = [dim for contraction in form.contractions for dim in contraction.of("pixel")]
    return max((dim.extent for dim in dims if dim.output[axis]), default=1)


def _channels(form: OperatorForm) -> int:
    """The most output channels of a contraction."""
    return max((prod(dim.extent for dim in own.of("out", "group")) for own in form.contractions), default=1)


def _reduced(form: OperatorForm) -> int:
    """The longest loop over input channels."""
    dims = [dim for contraction in form.contractions for dim in contraction.of("reduce")]
    return max((dim.extent for dim in dims if dim.input[0]), default=1)
