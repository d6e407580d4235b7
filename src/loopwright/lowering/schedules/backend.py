"""What differs between the kernels of processors and of GPUs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from loopwright.ir.contraction import OperatorForm
from loopwright.lowering.axes import as_image
from loopwright.lowering.schedules import variants
from loopwright.lowering.schedules.cost import Tiling
from loopwright.lowering.schedules.cpu import CpuKernel, pack_contractions
from loopwright.lowering.schedules.cuda import precisions
from loopwright.lowering.schedules.cuda.kernel import CudaKernel, pack_for_gpu
from loopwright.lowering.schedules.cuda.schedule import CudaSchedule
from loopwright.lowering.schedules.cuda.tensor.schedule import TensorSchedule, is_tensor_schedule
from loopwright.lowering.schedules.form_kernel import CutContraction, FormKernel
from loopwright.lowering.schedules.given import Given
from loopwright.lowering.schedules.schedule import CpuSchedule
from loopwright.lowering.tir import over_grid, parallel
from loopwright.targets.target import Target

Schedule = CpuSchedule | CudaSchedule | TensorSchedule


@dataclass(frozen=True)
class Backend:
    """``variants`` gives the schedules of a form worth timing on a target for so many images, the most promising first;
    ``parse`` one from its text; ``cycles`` what a form is estimated to take under one, for so many images;
    ``fitting`` the schedule, or another where the form, its input's block or a prologue rule it out; ``pack`` the
    form's contractions cut by a schedule, reading inputs of so many channels side by side, with a number of threads for
    a kernel with a prologue; ``kernel`` the code over given buffers, as `CpuKernel` takes them."""

    variants: Callable[[OperatorForm, Target, Given | None, int], Sequence[Schedule]]
    parse: Callable[[str], Schedule]
    cycles: Callable[[OperatorForm, Any, Target, int], float]
    fitting: Callable[..., Schedule]
    pack: Callable[[OperatorForm, Any, int, int], tuple[CutContraction, ...]]
    kernel: Callable[..., FormKernel]


def _cuda_kernel(*buffers: Any, schedule: Schedule, **prologue: Any) -> FormKernel:
    del schedule  # the contractions are cut by it already
    of_buffers: Callable[..., FormKernel] = partial(CudaKernel, over=over_grid)
    return of_buffers(*buffers, **prologue)


def _parse_cuda(text: str) -> CudaSchedule | TensorSchedule:
    """A schedule for tensor cores names a precision first."""
    return TensorSchedule.parse(text) if is_tensor_schedule(text) else CudaSchedule.parse(text)


CPU = Backend(
    lambda form, target, given, _images: variants.variants(form, target, given),
    CpuSchedule.parse,
    lambda form, schedule, target, _images: Tiling.of(form, schedule, target).cycles,
    lambda _form, schedule, *_of, **_kernel: schedule,
    pack_contractions,
    partial(CpuKernel, over=parallel),
)
GPU = Backend(
    lambda form, target, _given, images: precisions.variants(form, target, images),
    _parse_cuda,
    lambda form, schedule, target, images: precisions.cycles(as_image(form).form, schedule, target, images),
    precisions.fitting,
    lambda form, schedule, block, _threads: pack_for_gpu(form, schedule, block),
    _cuda_kernel,
)


def backend_of(target: Target) -> Backend:
    """That of a target."""
    return CPU if target.gpu is None else GPU
