"""The kernel of a pooling over images in blocked layout: vectors of channels, one task a row of a channel block; on a
GPU one thread a vector.

Windows that reach outside of the image read its part inside only, so nothing is padded and no read is tested. Columns
whose windows are cut off alike share one loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from math import inf, prod
from typing import Any

from tvm import tirx
from tvm.tirx import ForKind

from loopwright.lowering.layout import blocked_shape, channel_block
from loopwright.lowering.tir import Expression, loop, over_grid, ramp, sequence, splat, unflatten
from loopwright.targets.target import Target

Place = tuple[Expression, ...]

PARALLEL_READS = 1 << 17
"""Below this many elements read, starting the threads costs more than they save."""


@dataclass(frozen=True)
class Windows:
    """Windows along an axis of ``size`` elements: number ``i`` of ``count`` has ``extent`` elements, ``dilation``
    apart, from ``i * stride - before`` on. ``after`` elements of padding lie behind the last."""

    size: int
    count: int
    extent: int
    stride: int = 1
    before: int = 0
    after: int = 0
    dilation: int = 1

    @classmethod
    def whole(cls, size: int) -> Windows:
        """A single one over all elements."""
        return cls(size, 1, size)

    def start(self, number: Expression) -> Expression:
        """Where window ``number`` starts, which may be in the padding."""
        return number * self.stride - self.before

    def inside(self, number: Expression) -> tuple[Expression, Expression]:
        """(first, stop): which of its elements lie in the image."""
        start, step = self.start(number), self.dilation
        first = _most(0, -(start // step))
        return first, _most(first, _least(self.extent, -((start - self.size) // step)))

    def padded(self, number: Expression) -> Expression:
        """How many of its elements lie in the image or in the padding."""
        return _least(self.extent, self.size + self.after - self.start(number))

    def alike(self) -> Iterator[range]:
        """Runs of windows that are cut off alike."""
        for _, run in groupby(range(self.count), lambda number: (self.inside(number), self.padded(number))):
            numbers = list(run)
            yield range(numbers[0], numbers[-1] + 1)


@dataclass(frozen=True)
class Pooling:
    """The maximum (``mean`` is False) or the mean over windows; a mean counts padding if ``counts_padding`` is set."""

    rows: Windows
    columns: Windows
    mean: bool
    counts_padding: bool = False

    @property
    def counts(self) -> tuple[int, int]:
        """Rows and columns of the result."""
        return self.rows.count, self.columns.count

    @property
    def neutral(self) -> float:
        """What the first element is combined with."""
        return 0.0 if self.mean else -inf

    def combined(self, held: Expression, value: Expression) -> Expression:
        """One element more."""
        return held + value if self.mean else tirx.max(held, value)

    def finished(self, held: Expression, row: Expression, column: Expression, lanes: int) -> Expression:
        """The result of the window in ``row`` and ``column``, all of whose elements are combined in ``held``."""
        if not self.mean:
            return held
        counted = self._counted(self.rows, row) * self._counted(self.columns, column)
        return held * splat(tirx.const(1.0, "float32") / tirx.Cast("float32", counted), lanes)

    def _counted(self, windows: Windows, number: Expression) -> Expression:
        first, stop = windows.inside(number)
        return windows.padded(number) if self.counts_padding else stop - first


def build_pooling(pooling: Pooling, n: int, channels: int, target: Target) -> tirx.PrimFunc:
    """The function from ``n`` images ``x`` of so many ``channels``, and the value that each window starts with
    (`Pooling.neutral`, for a block of channels), to ``out``."""
    rows, columns = pooling.rows, pooling.columns
    read = blocked_shape(n, (channels, rows.size, columns.size), target.activation_block)
    written = blocked_shape(n, (channels, *pooling.counts), target.activation_block)
    x, out = tirx.decl_buffer(read, "float32", "x"), tirx.decl_buffer(written, "float32", "out")
    # TVM takes a function of one tensor and no other argument for a possible reshape, and stops at ours
    neutral = tirx.decl_buffer(written[-1:], "float32", "neutral")
    if target.gpu is not None:
        body = _over_grid(pooling, x, neutral, out, channel_block(written[-1], target.vector_lanes))
        return tirx.PrimFunc([x, neutral, out], body).with_attr({"tirx.noalias": True})
    reads = prod(written) * rows.extent * columns.extent
    kind = ForKind.PARALLEL if reads >= PARALLEL_READS else ForKind.SERIAL

    def row(task: Expression) -> tirx.Stmt:
        place = unflatten(task, written[:3])
        return sequence([_run(pooling, x, neutral, out, place, numbers) for numbers in columns.alike()])

    body = loop("task", prod(written[:3]), row, kind)
    return tirx.PrimFunc([x, neutral, out], body).with_attr({"tirx.noalias": True})


def _run(pooling: Pooling, x: Any, neutral: Any, out: Any, row: Place, columns: range) -> tirx.Stmt:
    """The results of a row in ``columns``, whose windows are cut off alike."""
    left, right = pooling.columns.inside(columns.start)
    lanes = int(out.shape[4])

    def result(number: Expression) -> tirx.Stmt:
        place = (*row, number + columns.start)
        kept = tirx.decl_buffer((1, lanes), "float32", "kept")
        return _result(pooling, x, neutral, out, kept, place, ramp(0, lanes), (left, right), columns.start)

    return loop("column", len(columns), result)


def _over_grid(pooling: Pooling, x: Any, neutral: Any, out: Any, lanes: int) -> tirx.Stmt:
    """All results, each thread so many channels of one."""

    def thread(point: tuple[Expression, ...]) -> tirx.Stmt:
        *place, vector = point
        kept = tirx.decl_buffer((1, lanes), "float32", "kept", scope="local")
        taps = pooling.columns.inside(place[-1])
        at = ramp(vector * lanes, lanes)
        return _result(pooling, x, neutral, out, kept, tuple(place), at, taps, place[-1])

    *places, block = (int(extent) for extent in out.shape)
    return over_grid("result", [*places, block // lanes], thread)


def _result(
    pooling: Pooling,
    x: Any,
    neutral: Any,
    out: Any,
    kept: Any,
    place: Place,
    channels: Expression,
    taps: tuple[Expression, Expression],
    column: Expression,
) -> tirx.Stmt:
    """The results at a place of those ``channels`` of a block that ``kept`` has room for; the window is cut off as that
    of ``column`` is, to the columns ``taps``."""
    lanes = int(kept.shape[1])
    held = tirx.BufferLoad(kept, [0, ramp(0, lanes)])
    finished = pooling.finished(held, place[2], column, lanes)
    return sequence(
        [
            tirx.AllocBuffer(kept),
            tirx.BufferStore(kept, tirx.BufferLoad(neutral, [channels]), [0, ramp(0, lanes)]),
            _accumulated(pooling, x, kept, place, channels, taps),
            tirx.BufferStore(out, finished, [*place, channels]),
        ]
    )


def _accumulated(
    pooling: Pooling, x: Any, kept: Any, place: Place, channels: Expression, taps: tuple[Expression, Expression]
) -> tirx.Stmt:
    """Combines ``kept`` with the window of ``place``, of which the columns ``taps`` lie in the image."""
    image, block, row, column = place
    first, stop = pooling.rows.inside(row)
    at = [0, ramp(0, int(kept.shape[1]))]

    def update(i: Expression, j: Expression) -> tirx.Stmt:
        read = pooling.rows.start(row) + i * pooling.rows.dilation
        source = [image, block, read, pooling.columns.start(column) + j * pooling.columns.dilation, channels]
        combined = pooling.combined(tirx.BufferLoad(kept, at), tirx.BufferLoad(x, source))
        return tirx.BufferStore(kept, combined, at)

    return _range("i", first, stop, lambda i: _range("j", *taps, lambda j: update(i, j)))


def _range(name: str, start: Expression, stop: Expression, body: Callable[[Expression], tirx.Stmt]) -> tirx.Stmt:
    """``for name in range(start, stop)``; the bounds may be expressions."""
    variable = tirx.Var(name, "int32")
    return tirx.For(variable, 0, stop - start, ForKind.SERIAL, body(variable + start))


def _least(a: Expression, b: Expression) -> Expression:
    return min(a, b) if isinstance(a, int) and isinstance(b, int) else tirx.min(a, b)


def _most(a: Expression, b: Expression) -> Expression:
    return max(a, b) if isinstance(a, int) and isinstance(b, int) else tirx.max(a, b)
