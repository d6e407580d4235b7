"""The kernel of what happens to each element alone, over parts that lie one after the other along the channels.

The function computes ``out = relu?(concatenation(parts) * scale + shift + residual?)`` in one pass over the data. Its
parameters are the parts, those of ``scale`` (C,), ``shift`` (C,), ``residual`` that the epilogue names, and ``out``;
images are in blocked layout. With an empty epilogue it is the concatenation itself. Parts whose blocks of channels are
not those of the whole are blocked anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from math import gcd, prod
from typing import Any

from tvm import tirx
from tvm.tirx import ForKind

from loopwright.lowering.epilogue import Epilogue, EpilogueBuffers, epilogue_buffers
from loopwright.lowering.layout import Shape, blocked_shape
from loopwright.lowering.tir import Expression, loop, ramp, sequence
from loopwright.targets.target import Target

PARALLEL_ELEMENTS = 1 << 14
"""Below this many elements, starting the threads costs more than they save."""


def build_pointwise(channels: Sequence[int], n: int, size: Shape, epilogue: Epilogue, target: Target) -> tirx.PrimFunc:
    """The function over parts of so many ``channels`` each, for ``n`` images of ``size`` (rows, columns)."""
    whole = (sum(channels), *size)
    parts = [
        tirx.decl_buffer(blocked_shape(n, (own, *size), target.vector_lanes), "float32", f"part_{k}")
        for k, own in enumerate(channels)
    ]
    out = tirx.decl_buffer(blocked_shape(n, whole, target.vector_lanes), "float32", "out")
    extra = epilogue_buffers(epilogue, n, whole, target.vector_lanes)
    tasks = min(size[0], target.threads) if n * prod(whole) >= PARALLEL_ELEMENTS else 1

    def task(number: Expression) -> tirx.Stmt:
        start = number * size[0] // tasks
        rows = (number + 1) * size[0] // tasks - start
        return sequence(list(_copies(parts, out, extra, start, rows)))

    body = loop("task", tasks, task, ForKind.PARALLEL)
    return tirx.PrimFunc([*parts, *extra.parameters, out], body).with_attr({"tirx.noalias": True})


def _copies(
    parts: Sequence[Any], out: Any, extra: EpilogueBuffers, start: Expression, rows: Expression
) -> Iterator[tirx.Stmt]:
    """The rows from ``start`` on of every part."""
    channels = [int(part.shape[1]) * int(part.shape[4]) for part in parts]
    for part, own, first in zip(parts, channels, accumulate(channels, initial=0), strict=False):
        yield _copy(part, own, first, out, extra, start, rows)


def _copy(
    part: Any, channels: int, first: int, out: Any, extra: EpilogueBuffers, start: Expression, rows: Expression
) -> tirx.Stmt:
    """A part into the channels from ``first`` on, in runs of channels that lie together on both sides."""
    images, _, _, columns, read = (int(extent) for extent in part.shape)
    written = int(out.shape[4])
    lanes = gcd(read, written, first)

    def vector(image: Expression, run: Expression, row: Expression, column: Expression) -> tirx.Stmt:
        source, target = run * lanes, run * lanes + first
        value = tirx.BufferLoad(part, [image, source // read, row, column, ramp(source % read, lanes)])
        place = (image, target // written, row, column, target % written)
        result = extra.apply(value, place, lanes)
        return tirx.BufferStore(out, result, [*place[:-1], ramp(place[-1], lanes)])

    def run_of(image: Expression, run: Expression) -> tirx.Stmt:
        return loop("row", rows, lambda r: loop("column", columns, lambda c: vector(image, run, start + r, c)))

    return loop("image", images, lambda image: loop("run", channels // lanes, lambda run: run_of(image, run)))
