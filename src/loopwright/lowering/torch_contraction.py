"""One contraction in PyTorch: a grouped ``conv2d`` where the dims allow it, else a product over strided views."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from math import prod

import torch
from torch import Tensor
from torch.nn import functional

from loopwright.ir.contraction import Contraction, Dim
from loopwright.ir.lattice import Point

Run = Callable[[Tensor, Tensor], Tensor]
ROW, COLUMN = 1, 2


def lower(contraction: Contraction, input_shape: Point) -> Run:
    """A function of input (N, C, H, W) and dense weight that gives the compact result (N, pixel, group, out dims)."""
    return Convolution.of(contraction, input_shape) or Strided.of(contraction, input_shape)


@dataclass(frozen=True)
class Window:
    """The input rows (or columns) that a contraction reads along one axis: where they start, how far outputs and taps
    step, and how many there are of each."""

    start: int
    outputs: int
    stride: int
    taps: int
    dilation: int

    @property
    def span(self) -> int:
        return (self.outputs - 1) * self.stride + (self.taps - 1) * self.dilation + 1

    def padding(self, size: int) -> tuple[int, int]:
        """Elements to add before and after an axis of ``size`` (negative: to cut off)."""
        return -self.start, self.start + self.span - size

    def symmetric(self, size: int) -> bool:
        """Whether ``conv2d`` can pad by itself: as much before as after, and no output too many."""
        before, after = self.padding(size)
        return before >= 0 and after <= before and self.stride > before - after


@dataclass(frozen=True)
class Convolution:
    """A grouped convolution over selected channels, each group with its own window of the input."""

    contraction: Contraction
    input_shape: Point
    rows: Window
    columns: Window
    channels: tuple[tuple[int, ...], ...]  # for every group
    offsets: tuple[tuple[int, int], ...]  # for every group: rows and columns by which its window is shifted

    @classmethod
    def of(cls, contraction: Contraction, input_shape: Point) -> Convolution | None:
        """``None`` when the dims don't make a convolution."""
        pixel, reduce = contraction.of("pixel"), contraction.of("reduce")
        windows = [_window(contraction, axis) for axis in (ROW, COLUMN)]
        plain = all(_axis(dim.input) is not None and _axis(dim.output) == _axis(dim.input) for dim in pixel)
        if None in windows or not plain or any(_axis(dim.input) is None for dim in reduce):
            return None
        if any(_axis(dim.input) == 0 for dim in pixel):
            return None
        taps = [_axis(dim.input) for dim in reduce]
        if taps != sorted(taps):  # type: ignore[type-var]
            return None
        groups = list(product(*(range(dim.extent) for dim in contraction.of("group"))))
        reduced = [dim for dim in reduce if _axis(dim.input) == 0]
        starts = [_moved(contraction.of("group"), group, contraction.input_offset) for group in groups]
        channels = tuple(
            tuple(
                start[0] + sum(k * dim.input[0] for k, dim in zip(point, reduced, strict=True))
                for point in _points(reduced)
            )
            for start in starts
        )
        shifts = tuple(tuple(start[a] - contraction.input_offset[a] for a in (ROW, COLUMN)) for start in starts)
        return cls(contraction, input_shape, windows[0], windows[1], channels, shifts)  # type: ignore[arg-type]

    def __call__(self, x: Tensor, weight: Tensor) -> Tensor:
        groups, channels = len(self.channels), len(self.channels[0])
        kernel = weight.reshape(-1, channels, self.rows.taps, self.columns.taps)
        strides, dilations = (self.rows.stride, self.columns.stride), (self.rows.dilation, self.columns.dilation)
        view, padding = self._read(x)
        result = functional.conv2d(view, kernel, None, strides, padding, dilations, groups)
        return self._compact(result[:, :, : self.rows.outputs, : self.columns.outputs])

    def _read(self, x: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """The channels and windows of all groups, side by side along the channels, and the padding left to do."""
        sizes = self.input_shape[ROW], self.input_shape[COLUMN]
        windows = self.rows, self.columns
        if not any(any(offset) for offset in self.offsets):
            flat = [channel for own in self.channels for channel in own]
            view = x if flat == list(range(x.shape[1])) else _channels(x, flat)
            if all(window.symmetric(size) for window, size in zip(windows, sizes, strict=True)):
                return view, (-self.rows.start, -self.columns.start)
            return _framed(view, self.rows, self.columns, (0, 0)), (0, 0)
        shifted = [
            _framed(_channels(x, list(own)), self.rows, self.columns, offset)
            for own, offset in zip(self.channels, self.offsets, strict=True)
        ]
        return torch.cat(shifted, 1), (0, 0)

    def _compact(self, result: Tensor) -> Tensor:
        """(N, group and out dims, rows, columns) to the order of the compact dims: pixels first."""
        inner = [dim.extent for dim in self.contraction.of("group", "out")]
        pixels = [dim.extent for dim in self.contraction.of("pixel")]
        result = result.reshape(result.shape[0], prod(inner), -1).transpose(1, 2)
        return result.reshape(result.shape[0], *pixels, *inner)


@dataclass(frozen=True)
class Strided:
    """A product over strided views of the padded input: any dims."""

    contraction: Contraction
    padding: tuple[int, ...]  # for torch.nn.functional.pad, columns first
    start: Point

    @classmethod
    def of(cls, contraction: Contraction, input_shape: Point) -> Strided:
        reads = contraction.of("pixel", "group", "reduce")
        low = contraction.input_offset
        high = tuple(low[axis] + sum((dim.extent - 1) * dim.input[axis] for dim in reads) for axis in range(len(low)))
        before = [max(0, -first) for first in low]
        after = [max(0, last + 1 - size) for last, size in zip(high, input_shape, strict=True)]
        padding = [amount for pair in zip(reversed(before), reversed(after), strict=True) for amount in pair]
        return cls(contraction, tuple(padding), tuple(first + add for first, add in zip(low, before, strict=True)))

    def __call__(self, x: Tensor, weight: Tensor) -> Tensor:
        padded = functional.pad(x, self.padding).contiguous()
        batch, *strides = padded.stride()
        pixel, group, out, reduce = (self.contraction.of(role) for role in ("pixel", "group", "out", "reduce"))
        reads = [*group, *pixel, *reduce]
        steps = [sum(by * stride for by, stride in zip(dim.input, strides, strict=True)) for dim in reads]
        start = sum(at * stride for at, stride in zip(self.start, strides, strict=True))
        view = padded.as_strided([x.shape[0], *(dim.extent for dim in reads)], [batch, *steps], start)
        sizes = [prod(dim.extent for dim in dims) for dims in (group, pixel, reduce, out)]
        result = torch.einsum(
            "ngpr,gor->npgo", view.reshape(-1, *sizes[:3]), weight.reshape(sizes[0], sizes[3], sizes[2])
        )
        return result.reshape(x.shape[0], *(dim.extent for dim in (*pixel, *group, *out)))


def _axis(step: Point) -> int | None:
    """The only axis that a step moves along, or ``None``."""
    moved = [axis for axis, by in enumerate(step) if by]
    return moved[0] if len(moved) == 1 else None


def _window(contraction: Contraction, axis: int) -> Window | None:
    outputs = [dim for dim in contraction.of("pixel") if dim.input[axis]]
    taps = [dim for dim in contraction.of("reduce") if dim.input[axis]]
    if len(outputs) > 1 or len(taps) > 1:
        return None
    out, tap = (dims[0] if dims else None for dims in (outputs, taps))
    return Window(
        contraction.input_offset[axis],
        out.extent if out else 1,
        out.input[axis] if out else 1,
        tap.extent if tap else 1,
        tap.input[axis] if tap else 1,
    )


def _points(dims: list[Dim]) -> list[tuple[int, ...]]:
    return list(product(*(range(dim.extent) for dim in dims)))


def _moved(dims: tuple[Dim, ...], point: tuple[int, ...], start: Point) -> Point:
    return tuple(
        at + sum(k * dim.input[axis] for k, dim in zip(point, dims, strict=True)) for axis, at in enumerate(start)
    )


def _channels(x: Tensor, channels: list[int]) -> Tensor:
    first, step = channels[0], channels[1] - channels[0] if len(channels) > 1 else 1
    if step > 0 and channels == list(range(first, first + step * len(channels), step)):
        return x[:, first : channels[-1] + 1 : step]
    return x.index_select(1, torch.tensor(channels, device=x.device))


def _framed(x: Tensor, rows: Window, columns: Window, offset: tuple[int, int]) -> Tensor:
    """The rows and columns that the windows, shifted by ``offset``, span; zero outside of the input."""
    starts = rows.start + offset[0], columns.start + offset[1]
    before = [max(0, -start) for start in starts]
    after = [
        max(0, start + window.span - size)
        for start, window, size in zip(starts, (rows, columns), x.shape[2:], strict=True)
    ]
    padded = functional.pad(x, (before[1], after[1], before[0], after[0])) if any((*before, *after)) else x
    top, left = (start + add for start, add in zip(starts, before, strict=True))
    return padded[:, :, top : top + rows.span, left : left + columns.span]
