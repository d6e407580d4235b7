"""From an operator's form to one TIR function over blocked activations, and the weights packed for it.

The function computes ``out = relu?(conv(x) * scale + shift + residual?)`` in float32. Its parameters are ``x``, the
packed weights, then those of ``scale`` (C,), ``shift`` (C,), ``residual`` that the epilogue names, and ``out``. With a
prologue, ``x`` stands for ``min?(relu?(x * scale + shift), at_most)``, whose parameters come before ``out``.
Activations are images (`loopwright.lowering.axes`), stored as `loopwright.lowering.layout` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from tvm import tirx

from loopwright.errors import ArgumentError
from loopwright.ir.contraction import OperatorForm
from loopwright.lowering.axes import as_image
from loopwright.lowering.depth import Part
from loopwright.lowering.epilogue import Epilogue, EpilogueBuffers, epilogue_buffers
from loopwright.lowering.layout import Blocks, Channels, blocked_shape, channel_block
from loopwright.lowering.schedules.backend import Backend, Schedule, backend_of
from loopwright.lowering.schedules.form_kernel import CutContraction
from loopwright.lowering.schedules.given import Given
from loopwright.lowering.schedules.panel import takes_panels
from loopwright.lowering.schedules.placement import is_injective
from loopwright.lowering.schedules.result import Result
from loopwright.lowering.schedules.schedule import CpuSchedule
from loopwright.lowering.tir import sequence
from loopwright.targets.target import Target

__all__ = [
    "Blocks",
    "CpuSchedule",
    "Epilogue",
    "Kernel",
    "Schedule",
    "build_kernel",
    "channel_block",
    "schedules",
    "takes_prologue",
]


@dataclass(frozen=True)
class Kernel:
    """A TIR function and how its weights are packed: ``parts`` says of which contraction of the form each is."""

    primfunc: tirx.PrimFunc
    contractions: tuple[CutContraction, ...]
    parts: tuple[Part, ...]

    @property
    def packed_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the packed weights."""
        return tuple(contraction.shape for contraction in self.contractions)

    def pack(self, weights: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The dense weights (shape `Contraction.weight_shape`) of the form, in the order the function reads them."""
        own = [part.weight_of(weights) for part in self.parts]
        return [contraction.pack(weight) for contraction, weight in zip(self.contractions, own, strict=True)]


def build_kernel(
    form: OperatorForm,
    n: int,
    epilogue: Epilogue,
    target: Target,
    schedule: Schedule | None = None,
    blocks: Blocks | None = None,
    read: Channels | None = None,
    whole: int | None = None,
    prologue: Epilogue | None = None,
) -> Kernel:
    """The kernel of ``form`` for ``n`` images; without a schedule the one that is expected to be fastest, as where it
    is one for tensor cores, which take neither a prologue nor every form. Without ``blocks`` at most a vector's lanes
    of channels lie side by side.

    With ``read``, the form's input is these channels of ``x``. With ``whole``, ``out`` has so many channels, in blocks
    as large as those of the form's output, and an int32 parameter before it says at which block the results start.
    A ``prologue``, without residual, is for forms that `takes_prologue`, and channels that are whole blocks of ``x``.

    Raises `ArgumentError` for several images of a product of two inputs, whose weights differ from image to image.
    """
    if form.two_inputs and n > 1:
        raise ArgumentError(
            f"a kernel of two inputs takes one image, not {n}; run it once for each, or count them in h"
        )
    lanes = target.activation_block
    blocks = blocks or Blocks(lanes, lanes)
    panel_threads = target.threads if prologue else 0
    stages = _stages(form, n, target, schedule, blocks.input, read, panel_threads)
    written = stages[-1].form.output_shape
    x = tirx.decl_buffer(blocked_shape(n, stages[0].form.input_shape, blocks.input), "float32", "x")
    out = tirx.decl_buffer(blocked_shape(n, (whole or written[0], *written[1:]), blocks.output), "float32", "out")
    first_block = tirx.Var("first_block", "int32")
    contractions = tuple(contraction for stage in stages for contraction in stage.contractions)
    weights = [tirx.decl_buffer(c.shape, "float32", f"weight_{k}") for k, c in enumerate(contractions)]
    extra = epilogue_buffers(epilogue, n, written, blocks.output)
    before = epilogue_buffers(prologue, n, form.input_shape, blocks.input, "prologue_") if prologue else None
    parts = tuple(part for stage in stages for part in stage.parts)
    result = Result(out, first_block if whole else None)
    start = read.first if read else 0
    body = sequence(_chained(backend_of(target), stages, n, x, weights, result, extra, lanes, before, start))
    added = [*extra.parameters, *(before.parameters if before else ()), *([first_block] if whole else [])]
    primfunc = tirx.PrimFunc([x, *weights, *added, out], body)
    return Kernel(primfunc.with_attr({"global_symbol": "main", "tirx.noalias": True}), contractions, parts)


def schedules(form: OperatorForm, target: Target, given: Given | None = None, n: int = 1) -> list[Schedule]:
    """Those worth timing for the kernel of ``form`` for ``n`` images that follow what is ``given``, the most promising
    first."""
    return list(backend_of(target).variants(as_image(form.stages[0]).form, target, given, n))


def takes_prologue(form: OperatorForm, target: Target) -> bool:
    """Whether a kernel of ``form`` can have a prologue: on processors one convolution of kernel size and stride 1 and
    one group, on GPUs all whose results go to different outputs."""
    if form.then is not None or form.two_inputs:
        return False
    image = as_image(form).form
    if target.gpu is None:
        return takes_panels(image)
    return all(is_injective(image, contraction) for contraction in image.contractions)


@dataclass(frozen=True)
class _Stage:
    """One form of a chain over (channel, row, column), and its schedule; ``parts`` number the chain's contractions."""

    form: OperatorForm
    parts: tuple[Part, ...]
    schedule: Schedule
    contractions: tuple[CutContraction, ...]


def _stages(
    form: OperatorForm,
    n: int,
    target: Target,
    schedule: Schedule | None,
    input_block: int,
    read: Channels | None,
    panel_threads: int,
) -> list[_Stage]:
    """The stages of ``form``; ``schedule``, ``input_block`` and the channels that are ``read`` are the first one's."""
    stages: list[_Stage] = []
    backend = backend_of(target)
    first = 0
    for own in form.stages:
        image, parts = as_image(own, first)
        chosen = schedule if schedule and not stages else backend.variants(image, target, None, n)[0]
        image = _reading(image, read) if read and not stages else image
        block = target.activation_block if stages else input_block
        chosen = backend.fitting(image, chosen, target, n, block, prologue=panel_threads > 0)
        stages.append(_Stage(image, parts, chosen, backend.pack(image, chosen, block, panel_threads)))
        first += len(own.contractions)
    return stages


def _reading(form: OperatorForm, read: Channels) -> OperatorForm:
    """The form over an input that has its own as the channels ``read``."""
    offsets = [(own.input_offset[0] + read.first, *own.input_offset[1:]) for own in form.contractions]
    shifted = zip(form.contractions, offsets, strict=True)
    return replace(
        form,
        input_shape=(read.whole, *form.input_shape[1:]),
        contractions=tuple(replace(own, input_offset=offset) for own, offset in shifted),
    )


def _chained(
    backend: Backend,
    stages: Sequence[_Stage],
    n: int,
    x: tirx.Buffer,
    weights: Sequence[tirx.Buffer],
    out: Result,
    extra: EpilogueBuffers,
    lanes: int,
    prologue: EpilogueBuffers | None,
    start: int,
) -> list[tirx.Stmt]:
    """The stages one after the other, each into a buffer that the next reads; the epilogue takes part in the last. A
    prologue is that of the only one, and of the channels from ``start`` on."""
    statements: list[tirx.Stmt] = []
    remaining = list(weights)
    for stage in stages:
        own, remaining = remaining[: len(stage.contractions)], remaining[len(stage.contractions) :]
        last = stage is stages[-1]
        result, after = (out, extra) if last else _intermediate(stage.form, n, lanes)
        if not last:
            statements.append(tirx.AllocBuffer(result.buffer))
        kernel = backend.kernel(
            *(stage.form, n, stage.contractions, x, tuple(own), result, after),
            schedule=stage.schedule,
            prologue=prologue,
            start=start,
        )
        statements += kernel.statements()
        x = result.buffer
    return statements


def _intermediate(form: OperatorForm, n: int, lanes: int) -> tuple[Result, EpilogueBuffers]:
    """The buffer between a stage and the next, which takes results as they are."""
    buffer = tirx.decl_buffer(blocked_shape(n, form.output_shape, lanes), "float32", "kept")
    return Result(buffer), epilogue_buffers(Epilogue(), n, form.output_shape, lanes)
