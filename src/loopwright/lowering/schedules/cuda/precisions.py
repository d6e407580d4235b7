"""Schedules of a GPU's precision: in tf32 and bf16 those for tensor cores, and those in float32 beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from loopwright.ir.contraction import OperatorForm
from loopwright.lowering.layout import channel_block
from loopwright.lowering.schedules.cuda import variants as float32
from loopwright.lowering.schedules.cuda.schedule import CudaSchedule
from loopwright.lowering.schedules.cuda.tensor import variants as tensor
from loopwright.lowering.schedules.cuda.tensor.schedule import TensorSchedule
from loopwright.targets.target import FLOAT32, Target

GpuSchedule = CudaSchedule | TensorSchedule

LEADERS = 2
"""Schedules of the kind whose best has the better estimate, before each of the other kind: estimates compare schedules
of one kind better than kinds, so that the few that are timed shall have some of both."""


def variants(form: OperatorForm, target: Target, n: int = 1) -> list[GpuSchedule]:
    """At most 24 for ``n`` images, the best by their estimates first, then both kinds in turns."""
    kinds: list[Sequence[GpuSchedule]] = [_of_tensor_cores(form, target, n), float32.variants(form, target, n)]
    better, *others = sorted(filter(None, kinds), key=lambda own: cycles(form, own[0], target, n))
    return list(_in_turns(better, others[0] if others else []))[: float32.VARIANTS_AT_MOST]


def cycles(form: OperatorForm, schedule: GpuSchedule, target: Target, n: int = 1) -> float:
    """What the form is estimated to take, in cycles of a multiprocessor."""
    if isinstance(schedule, TensorSchedule):
        return tensor.cycles(form, schedule, target, n)
    return float32.cycles(form, schedule, target, n)


def fitting(
    form: OperatorForm, schedule: GpuSchedule, target: Target, n: int, input_block: int, *, prologue: bool
) -> GpuSchedule:
    """The schedule, or for what tensor cores can't compute the best one in float32: for a kernel with a prologue, or a
    form over at most ``input_block`` channels side by side that is no product of whole blocks."""
    block = channel_block(form.input_shape[0], input_block)
    if isinstance(schedule, CudaSchedule) or (not prologue and tensor.takes(form, schedule, block)):
        return schedule
    return float32.variants(form, target, n)[0]


def _of_tensor_cores(form: OperatorForm, target: Target, n: int) -> list[TensorSchedule]:
    return [] if target.precision == FLOAT32 else tensor.variants(form, target, n, target.precision)


def _in_turns(better: Sequence[GpuSchedule], others: Sequence[GpuSchedule]) -> Iterator[GpuSchedule]:
    """Some of the better ones before each of the others, until there are no more of either."""
    turns = max(-(-len(better) // LEADERS), len(others))
    for turn in range(turns):
        yield from better[turn * LEADERS : (turn + 1) * LEADERS]
        yield from others[turn : turn + 1]
