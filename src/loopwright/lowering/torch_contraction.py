"""One contraction in PyTorch: a grouped convolution where the dims allow it, else a product over strided views.

Inputs have their channels first: (N, C, ...), with any number of axes behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

import torch
from torch import Tensor
from torch.nn import functional

from loopwright.ir.contraction import Contraction, Dim
from loopwright.ir.lattice import Point

Run = Callable[[Tensor, Tensor], Tensor]
CONVOLVE: dict[int, Callable[..., Tensor]] = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}


def lower(contraction: Contraction, input_shape: Point, *, batched: bool = False) -> Run:
    """A function of input (N, C, ...) and dense weight that gives the compact result (N, pixel, group, out dims);
    ``batched`` weights, one for each image, have the batch as their first axis."""
    convolution = None if batched else Convolution.of(contraction, input_shape)
    return convolution or Strided.of(contraction, input_shape)


@dataclass(frozen=True)
class Window:
    """The input positions that a contraction reads along one axis: where they start, how far outputs and taps step, how
    many there are of each, and whether the taps run ``backwards``, the first of them behind the others."""

    start: int
    outputs: int
    stride: int
    taps: int
    dilation: int
    backwards: bool = False

    @property
    def span(self) -> int:
        return (self.outputs - 1) * self.stride + (self.taps - 1) * self.dilation + 1

    def padding(self, size: int) -> tuple[int, int]:
        """Elements to add before and after an axis of ``size`` (negative: to cut off)."""
        return -self.start, self.start + self.span - size

    def symmetric(self, size: int) -> bool:
        """Whether PyTorch's convolution can pad by itself: as much before as after, and no output too many."""
        before, after = self.padding(size)
        return before >= 0 and after <= before and self.stride > before - after


@dataclass(frozen=True)
class Convolution:
    """A grouped convolution over selected channels, each group with its own window of the input."""

    contraction: Contraction
    windows: tuple[Window, ...]  # for every axis behind the channels
    channels: tuple[tuple[int, ...], ...]  # for every group
    offsets: tuple[Point, ...]  # for every group: by how much its windows are shifted

    @classmethod
    def of(cls, contraction: Contraction, input_shape: Point) -> Convolution | None:
        """``None`` when the dims don't make a convolution."""
        pixel, reduce = contraction.of("pixel"), contraction.of("reduce")
        windows = [_window(contraction, axis) for axis in range(1, len(input_shape))]
        plain = all(_axis(dim.input) is not None and _axis(dim.output) == _axis(dim.input) for dim in pixel)
        if len(windows) not in CONVOLVE or not plain or any(_axis(dim.input) is None for dim in reduce):
            return None
        if any(_axis(dim.input) == 0 or min(dim.input) < 0 for dim in pixel):
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
        shifts = tuple(
            tuple(a - b for a, b in zip(start[1:], contraction.input_offset[1:], strict=True)) for start in starts
        )
        known = tuple(window for window in windows if window is not None)
        return cls(contraction, known, channels, shifts) if len(known) == len(windows) else None

    def __call__(self, x: Tensor, weight: Tensor) -> Tensor:
        groups, channels = len(self.channels), len(self.channels[0])
        kernel = weight.reshape(-1, channels, *(window.taps for window in self.windows))
        backwards = [2 + axis for axis, window in enumerate(self.windows) if window.backwards]
        kernel = kernel.flip(backwards) if backwards else kernel
        strides, dilations = zip(*((window.stride, window.dilation) for window in self.windows), strict=True)
        view, padding = self._read(x)
        result = CONVOLVE[len(self.windows)](view, kernel, None, strides, padding, dilations, groups)
        for axis, window in enumerate(self.windows):
            result = _narrowed(result, 2 + axis, 0, window.outputs)
        return self._compact(result)

    def _read(self, x: Tensor) -> tuple[Tensor, Point]:
        """The channels and windows of all groups, side by side along the channels, and the padding left to do."""
        if not any(any(offset) for offset in self.offsets):
            flat = [channel for own in self.channels for channel in own]
            return windowed(x if flat == list(range(x.shape[1])) else _channels(x, flat), self.windows)
        shifted = [
            _framed(_channels(x, list(own)), self.windows, offset)
            for own, offset in zip(self.channels, self.offsets, strict=True)
        ]
        return torch.cat(shifted, 1), (0,) * len(self.windows)

    def _compact(self, result: Tensor) -> Tensor:
        """(N, group and out dims, rows, columns) to the order of the compact dims: pixels first."""
        inner = [dim.extent for dim in self.contraction.of("group", "out")]
        pixels = [dim.extent for dim in self.contraction.of("pixel")]
        result = result.reshape(result.shape[0], prod(inner), -1).transpose(1, 2)
        return result.reshape(result.shape[0], *pixels, *inner)


@dataclass(frozen=True)
class Strided:
    """A product over strided views of the padded input: any dims. The weight may differ from image to image, with the
    batch as its first axis."""

    contraction: Contraction
    padding: tuple[int, ...]  # for torch.nn.functional.pad, last axis first
    start: Point  # the first element read, along every axis

    @classmethod
    def of(cls, contraction: Contraction, input_shape: Point) -> Strided:
        low, high = list(contraction.input_offset), list(contraction.input_offset)
        for dim in contraction.of("pixel", "group", "reduce"):
            for axis, step in enumerate(dim.input):
                low[axis] += min(0, (dim.extent - 1) * step)
                high[axis] += max(0, (dim.extent - 1) * step)
        before = [max(0, -first) for first in low]
        after = [max(0, last + 1 - size) for last, size in zip(high, input_shape, strict=True)]
        padding = [amount for pair in zip(reversed(before), reversed(after), strict=True) for amount in pair]
        start = zip(contraction.input_offset, before, strict=True)
        return cls(contraction, tuple(padding), tuple(first + add for first, add in start))

    def __call__(self, x: Tensor, weight: Tensor) -> Tensor:
        padded = functional.pad(x, self.padding).contiguous()
        batch, *strides = padded.stride()
        pixel, group, out, reduce = (self.contraction.of(role) for role in ("pixel", "group", "out", "reduce"))
        reads = [*group, *pixel, *reduce]
        steps = [sum(by * stride for by, stride in zip(dim.input, strides, strict=True)) for dim in reads]
        start = sum(at * stride for at, stride in zip(self.start, strides, strict=True))
        first = start + sum((dim.extent - 1) * min(0, step) for dim, step in zip(reads, steps, strict=True))
        view = padded.as_strided([x.shape[0], *(dim.extent for dim in reads)], [batch, *map(abs, steps)], first)
        backwards = [1 + k for k, step in enumerate(steps) if step < 0]
        view = view.flip(backwards) if backwards else view
        groups, pixels, reduced, outs = (prod(dim.extent for dim in dims) for dims in (group, pixel, reduce, out))
        batched = weight.ndim > len(self.contraction.weight_shape)
        result = torch.einsum(
            "ngpr,ngor->npgo" if batched else "ngpr,gor->npgo",
            view.reshape(-1, groups, pixels, reduced),
            weight.reshape(*weight.shape[: int(batched)], groups, outs, reduced),
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
    (count, stride), (number, step) = (
        (dims[0].extent, dims[0].input[axis]) if dims else (1, 1) for dims in (outputs, taps)
    )
    start = contraction.input_offset[axis] + min(0, (number - 1) * step)
    return Window(start, count, stride, number, abs(step), step < 0)


def _points(dims: list[Dim]) -> list[tuple[int, ...]]:
    return list(product(*(range(dim.extent) for dim in dims)))


def _moved(dims: tuple[Dim, ...], point: tuple[int, ...], start: Point) -> Point:
    return tuple(
        at + sum(k * dim.input[axis] for k, dim in zip(point, dims, strict=True)) for axis, at in enumerate(start)
    )


def _channels(x: Tensor, channels: list[int]) -> Tensor:
    """Those of (N, C, ...), by slices: they need no table on the device."""
    if channels == list(range(x.shape[1])):
        return x
    slices = [x[:, run] for run in _runs(channels)]
    return slices[0] if len(slices) == 1 else torch.cat(slices, 1)


def _runs(numbers: list[int]) -> Iterator[slice]:
    """The fewest slices that begin as long as they can.

    >>> list(_runs([0, 2, 4, 5, 6, 3]))
    [slice(0, 5, 2), slice(5, 7, 1), slice(3, 4, 1)]
    """
    start = 0
    while start < len(numbers):
        step = max(1, numbers[start + 1] - numbers[start]) if start + 1 < len(numbers) else 1
        stop = start + 1
        while stop < len(numbers) and numbers[stop] == numbers[stop - 1] + step:
            stop += 1
        yield slice(numbers[start], numbers[stop - 1] + 1, step if stop > start + 1 else 1)
        start = stop


def windowed(x: Tensor, windows: Sequence[Window]) -> tuple[Tensor, Point]:
    """What the windows span of (N, C, ...), and the padding that is left for PyTorch's convolution to do. It may then
    give results behind the windows' outputs."""
    nothing = (0,) * len(windows)
    if all(window.symmetric(size) for window, size in zip(windows, x.shape[2:], strict=True)):
        return x, tuple(-window.start for window in windows)
    return _framed(x, windows, nothing), nothing


def _framed(x: Tensor, windows: Sequence[Window], offset: Sequence[int]) -> Tensor:
    """The positions that the windows, shifted by ``offset``, span; zero outside of the input."""
    starts = [window.start + by for window, by in zip(windows, offset, strict=True)]
    before = [max(0, -start) for start in starts]
    after = [
        max(0, start + window.span - size) for start, window, size in zip(starts, windows, x.shape[2:], strict=True)
    ]
    padding = [amount for pair in zip(reversed(before), reversed(after), strict=True) for amount in pair]
    framed = functional.pad(x, padding) if any(padding) else x
    for axis, (start, add, window) in enumerate(zip(starts, before, windows, strict=True)):
        framed = _narrowed(framed, 2 + axis, start + add, window.span)
    return framed


def _narrowed(x: Tensor, axis: int, start: int, length: int) -> Tensor:
    """``x`` itself where that is all of it: the gradient of a slice is a copy into zeros."""
    return x if x.shape[axis] == length else x.narrow(axis, start, length)
