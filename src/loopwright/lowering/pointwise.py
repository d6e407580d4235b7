"""The kernel of what happens to each element alone, from some channels of an image to some channels of another.

The function computes ``out = relu?(x * scale + shift + residual?)`` in one pass over the data. Its parameters are
``x``, those of ``scale`` (C,), ``shift`` (C,), ``residual`` that the epilogue names, and ``out``. Images are in blocked
layout; where the blocks of two of them do not begin at the same channels, fewer channels are taken at a time.
"""

from __future__ import annotations

from math import gcd, prod

from tvm import tirx
from tvm.tirx import ForKind

from loopwright.lowering.epilogue import Epilogue, epilogue_buffers
from loopwright.lowering.layout import Channels, Shape, blocked_shape, channel_block
from loopwright.lowering.tir import Expression, loop, over_grid, ramp
from loopwright.targets.target import Target

PARALLEL_ELEMENTS = 1 << 14
"""Below this many elements, starting the threads costs more than they save."""


def build_pointwise(
    read: Channels, written: Channels, shape: Shape, n: int, epilogue: Epilogue, target: Target
) -> tirx.PrimFunc:
    """The function for ``n`` images of ``shape`` (channels, rows, columns), which are the channels ``read`` of ``x``
    and ``written`` of ``out``; scale, shift and residual are of this shape alone."""
    (channels, *size), most = shape, target.activation_block
    x = tirx.decl_buffer(blocked_shape(n, (read.whole, *size), most), "float32", "x")
    out = tirx.decl_buffer(blocked_shape(n, (written.whole, *size), most), "float32", "out")
    extra = epilogue_buffers(epilogue, n, shape, most)
    block = channel_block(channels, most)
    together = channel_block(block, target.vector_lanes)
    lanes = gcd(together, *(gcd(own.first, channel_block(own.whole, most)) for own in (read, written)))

    def vector(image: Expression, run: Expression, pixel: Expression) -> tirx.Stmt:
        def place(first: int, block: int) -> tuple[Expression, ...]:
            channel = run * lanes + first
            return image, channel // block, pixel // size[1], pixel % size[1], channel % block

        *source, lane = place(read.first, int(x.shape[4]))
        value = tirx.BufferLoad(x, [*source, ramp(lane, lanes)])
        *goal, lane = place(written.first, int(out.shape[4]))
        return tirx.BufferStore(out, extra.apply(value, place(0, block), lanes), [*goal, ramp(lane, lanes)])

    def task(number: Expression) -> tirx.Stmt:
        start = number * prod(size) // tasks
        pixels = (number + 1) * prod(size) // tasks - start

        def run_of(image: Expression, run: Expression) -> tirx.Stmt:
            return loop("pixel", pixels, lambda pixel: vector(image, run, start + pixel))

        return loop("image", n, lambda image: loop("run", channels // lanes, lambda run: run_of(image, run)))

    if target.gpu is not None:
        body = over_grid("vector", [n, prod(size), channels // lanes], lambda at: vector(at[0], at[2], at[1]))
        return tirx.PrimFunc([x, *extra.parameters, out], body).with_attr({"tirx.noalias": True})
    tasks = min(prod(size), target.threads) if n * prod(shape) >= PARALLEL_ELEMENTS else 1
    body = loop("task", tasks, task, ForKind.PARALLEL)
    return tirx.PrimFunc([x, *extra.parameters, out], body).with_attr({"tirx.noalias": True})
