"""The kernel of a pooling over images in blocked layout: vectors of channels, one task a row of a channel block.

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

from loopwright.lowering.layout import blocked_shape
from loopwright.lowering.tir import Expression, loop, ramp, sequence, splat, unflatten
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
    read = blocked_shape(n, (channels, rows.size, columns.size), target.vector_lanes)
    written = blocked_shape(n, (channels, *pooling.counts), target.vector_lanes)
    x, out = tirx.decl_buffer(read, "float32", "x"), tirx.decl_buffer(written, "float32", "out")
    # TVM takes a function of one tensor and no other argument for a possible reshape, and stops at ours
    neutral = tirx.decl_buffer(written[-1:], "float32", "neutral")
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
        column = number + columns.start
        kept = tirx.decl_buffer((1, lanes), "float32", "kept")
        return sequence(
            [
                tirx.AllocBuffer(kept),
                _store(kept, (0,), _load(neutral, ())),
                _accumulated(pooling, x, kept, (*row, column), range(left, right)),
                _store(out, (*row, column), pooling.finished(_load(kept, (0,)), row[-1], columns.start, lanes)),
            ]
        )

    return loop("column", len(columns), result)


def _accumulated(pooling: Pooling, x: Any, kept: Any, place: Place, taps: range) -> tirx.Stmt:
    """Combines ``kept`` with the window of ``place``, of which the columns ``taps`` lie in the image."""
    image, block, row, column = place
    first, stop = pooling.rows.inside(row)

    def update(i: Expression, j: Expression) -> tirx.Stmt:
        read = pooling.rows.start(row) + i * pooling.rows.dilation
        value = _load(x, (image, block, read, pooling.columns.start(column) + j * pooling.columns.dilation))
        return _store(kept, (0,), pooling.combined(_load(kept, (0,)), value))

    return _range("i", first, stop, lambda i: _range("j", taps.start, taps.stop, lambda j: update(i, j)))


def _load(buffer: Any, place: Place) -> Expression:
    """All channels of a block at a place."""
    return tirx.BufferLoad(buffer, [*place, ramp(0, int(buffer.shape[-1]))])


def _store(buffer: Any, place: Place, value: Expression) -> tirx.Stmt:
    return tirx.BufferStore(buffer, value, [*place, ramp(0, int(buffer.shape[-1]))])


def _range(name: str, start: Expression, stop: Expression, body: Callable[[Expression], tirx.Stmt]) -> tirx.Stmt:
    """``for name in range(start, stop)``; the bounds may be expressions."""
    variable = tirx.Var(name, "int32")
    return tirx.For(variable, 0, stop - start, ForKind.SERIAL, body(variable + start))


def _least(a: Expression, b: Expression) -> Expression:
    return min(a, b) if isinstance(a, int) and isinstance(b, int) else tirx.min(a, b)


def _most(a: Expression, b: Expression) -> Expression:
    return max(a, b) if isinstance(a, int) and isinstance(b, int) else tirx.max(a, b)
