"""The schedules worth timing for a form on a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import prod

from loopwright.ir.contraction import OperatorForm
from loopwright.lowering.layout import channel_block
from loopwright.lowering.schedules.cuda.cost import Estimate
from loopwright.lowering.schedules.cuda.cutting import cut
from loopwright.lowering.schedules.cuda.schedule import LANES, CudaSchedule
from loopwright.targets.target import Target

VARIANTS_AT_MOST = 24
VECTORS_AT_MOST = 16
THREADS = (64, 256)
"""The fewest and the most threads of a block that are looked at."""


def variants(form: OperatorForm, target: Target, n: int = 1) -> list[CudaSchedule]:
    """At most 24 schedules that differ for this form and ``n`` images, by their estimates."""
    found: dict[object, tuple[float, CudaSchedule]] = {}
    for schedule in _candidates(form):
        estimates = _estimates(form, schedule, target, n)
        key = tuple(own.digits.digits for own in estimates)
        if key not in found and all(own.fits for own in estimates):
            found[key] = (sum(own.cycles for own in estimates), schedule)
    ranked = sorted(found.values(), key=lambda pair: pair[0])
    return [schedule for _, schedule in ranked[:VARIANTS_AT_MOST]] or [CudaSchedule(1, 1, 1)]


def cycles(form: OperatorForm, schedule: CudaSchedule, target: Target, n: int = 1) -> float:
    """What the form is estimated to take, in cycles of a multiprocessor."""
    return sum(own.cycles for own in _estimates(form, schedule, target, n))


def _estimates(form: OperatorForm, schedule: CudaSchedule, target: Target, n: int) -> list[Estimate]:
    if target.gpu is None:
        raise ValueError(f"{target.name} is no GPU")
    block = channel_block(form.input_shape[0], target.activation_block)
    cuts = [cut(contraction, schedule, block) for contraction in form.contractions]
    return [Estimate(own, n, form.input_shape, target.gpu) for own in cuts]


def _candidates(form: OperatorForm) -> Iterator[CudaSchedule]:
    rows, columns = _extents(form, 1), _extents(form, 2)
    channels = _channels(form)
    shares = [share for share in (1, 2, 4, 8, 16, 32, 64) if share <= _reduced(form)]
    for vectors, tall, wide in product((1, 2), _divisors(rows, 4), _divisors(columns, 8)):
        if vectors * tall * wide > VECTORS_AT_MOST:
            continue
        pixels = _powers(rows // tall * (columns // wide))
        for across, over, share in product(_powers(channels // LANES // vectors), pixels, shares):
            threads = across * over * share
            if THREADS[0] <= threads <= THREADS[1] or (threads < THREADS[0] and share == shares[-1]):
                thread_columns = min(over, columns // wide)
                yield CudaSchedule(vectors, tall, wide, across, over // thread_columns, thread_columns, share)


def _divisors(extent: int, most: int) -> list[int]:
    """Few divisors: powers of two, and the largest."""
    found = [divisor for divisor in range(1, most + 1) if extent % divisor == 0]
    return sorted({divisor for divisor in found if divisor & (divisor - 1) == 0} | {found[-1]})


def _powers(extent: int) -> list[int]:
    """Powers of two up to an extent, and the extent where it is small."""
    found = [1 << k for k in range(9) if 1 << k <= extent]
    return sorted({*found, *([extent] if 1 < extent <= 32 else [])}) or [1]


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
