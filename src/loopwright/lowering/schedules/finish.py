"""The stage after accumulation: fills unwritten outputs by the form's completion and applies the epilogue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tvm import tirx
from tvm.tirx import ForKind

from loopwright.ir.affine import Affine
from loopwright.ir.loopnest import Case
from loopwright.lowering.epilogue import EpilogueBuffers
from loopwright.lowering.schedules.result import Result
from loopwright.lowering.tir import Expression, Over, inside, loop, parallel, value

Place = tuple[Expression, ...]


def finish(
    cases: tuple[Case, ...], raw: Any, out: Result, epilogue: EpilogueBuffers, over: Over = parallel
) -> tirx.Stmt:
    """``out = epilogue(completion(raw))``, one task a row of a channel block; ``raw`` may be
    the tensor of ``out`` without cases."""
    images, blocks, rows, columns, block = (int(extent) for extent in raw.shape)

    def store(place: Place) -> tirx.Stmt:
        result = completed(cases, raw, place, block)
        return out.store(epilogue.apply(result, place, 1), place, 1)

    def row(task: Place) -> tirx.Stmt:
        kind = ForKind.SERIAL if cases or over is not parallel else ForKind.VECTORIZED
        return loop("column", columns, lambda c: loop("lane", block, lambda lane: store((*task, c, lane)), kind))

    return over("task", (images, blocks, rows), row)


def completed(cases: tuple[Case, ...], raw: Any, place: Place, block: int) -> Expression:
    """The value of output ``place``: that at the source of the first case that holds."""
    image, channel_block, row, column, lane = place
    axes = {"o0": channel_block * block + lane, "o1": row, "o2": column}
    result = tirx.BufferLoad(raw, list(place))
    for case in reversed(cases):
        source = _stored(case.source, axes, image, block)
        conditions = [inside(value(expression, axes), bound) for expression, bound in case.where]
        held = tirx.BufferLoad(raw, source)
        result = tirx.if_then_else(tirx.all(*conditions), held, result) if conditions else held
    return result


def _stored(source: tuple[Affine, ...], axes: Mapping[str, Expression], image: Expression, block: int) -> Place:
    channel, row, column = (value(expression, axes) for expression in source)
    return image, channel // block, row, column, channel % block
