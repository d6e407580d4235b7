"""From an operator's form to one TIR function over blocked activations, and the weights packed for it.

The function computes ``out = relu?(conv(x) * scale + shift + residual?)`` in float32. Its parameters are ``x``, one
packed weight a contraction, then those of ``scale`` (C,), ``shift`` (C,), ``residual`` that the epilogue names, and
``out``. Activations are stored as `loopwright.lowering.layout` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tvm import tirx

from loopwright.ir.contraction import OperatorForm
from loopwright.lowering.epilogue import Epilogue, EpilogueBuffers, epilogue_buffers
from loopwright.lowering.layout import blocked_shape, channel_block
from loopwright.lowering.schedules.cpu import CpuKernel, PackedContraction, pack_contractions
from loopwright.lowering.schedules.schedule import CpuSchedule
from loopwright.lowering.schedules.variants import variants
from loopwright.lowering.tir import sequence
from loopwright.targets.target import Target

__all__ = ["CpuSchedule", "Epilogue", "Kernel", "build_kernel", "channel_block"]


@dataclass(frozen=True)
class Kernel:
    """A TIR function and how its weights are packed."""

    primfunc: tirx.PrimFunc
    contractions: tuple[PackedContraction, ...]

    @property
    def packed_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the packed weights, one a contraction."""
        return tuple(contraction.shape for contraction in self.contractions)

    def pack(self, weights: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The contractions' dense weights (shape `Contraction.weight_shape`) in the order the function reads them."""
        return [contraction.pack(weight) for contraction, weight in zip(self.contractions, weights, strict=True)]


def build_kernel(
    form: OperatorForm, n: int, epilogue: Epilogue, target: Target, schedule: CpuSchedule | None = None
) -> Kernel:
    """The kernel of ``form`` for ``n`` images; without a schedule the one that is expected to be fastest."""
    stages = [_Stage.of(form, target, schedule), *(_Stage.of(later, target, None) for later in form.stages[1:])]
    lanes = target.vector_lanes
    x = tirx.decl_buffer(blocked_shape(n, form.input_shape, lanes), "float32", "x")
    out = tirx.decl_buffer(blocked_shape(n, form.result_shape, lanes), "float32", "out")
    contractions = tuple(contraction for stage in stages for contraction in stage.contractions)
    weights = [tirx.decl_buffer(c.shape, "float32", f"weight_{k}") for k, c in enumerate(contractions)]
    extra = epilogue_buffers(epilogue, n, form.result_shape, lanes)
    body = sequence(_chained(stages, n, x, weights, out, extra, lanes))
    primfunc = tirx.PrimFunc([x, *weights, *extra.parameters, out], body)
    return Kernel(primfunc.with_attr({"global_symbol": "main", "tirx.noalias": True}), contractions)


@dataclass(frozen=True)
class _Stage:
    """One form of a chain, and its schedule."""

    form: OperatorForm
    schedule: CpuSchedule
    contractions: tuple[PackedContraction, ...]

    @classmethod
    def of(cls, form: OperatorForm, target: Target, schedule: CpuSchedule | None) -> _Stage:
        alone = form.stages[0]
        chosen = schedule or variants(alone, target)[0]
        return cls(alone, chosen, pack_contractions(alone, chosen, target.vector_lanes))


def _chained(
    stages: Sequence[_Stage],
    n: int,
    x: tirx.Buffer,
    weights: Sequence[tirx.Buffer],
    out: tirx.Buffer,
    extra: EpilogueBuffers,
    lanes: int,
) -> list[tirx.Stmt]:
    """The stages one after the other, each into a buffer that the next reads; the epilogue takes part in the last."""
    statements: list[tirx.Stmt] = []
    remaining = list(weights)
    for stage in stages:
        own, remaining = remaining[: len(stage.contractions)], remaining[len(stage.contractions) :]
        last = stage is stages[-1]
        result, after = (out, extra) if last else _intermediate(stage.form, n, lanes)
        if not last:
            statements.append(tirx.AllocBuffer(result))
        kernel = CpuKernel(stage.form, n, stage.contractions, x, tuple(own), result, after, stage.schedule)
        statements += kernel.statements()
        x = result
    return statements


def _intermediate(form: OperatorForm, n: int, lanes: int) -> tuple[tirx.Buffer, EpilogueBuffers]:
    """The buffer between a stage and the next, which takes results as they are."""
    buffer = tirx.decl_buffer(blocked_shape(n, form.output_shape, lanes), "float32", "kept")
    return buffer, epilogue_buffers(Epilogue(), n, form.output_shape, lanes)
