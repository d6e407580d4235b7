"""Two-dimensional convolution, with stride, padding, dilation, groups and batch.

>>> from loopwright.operators import parse
>>> print(parse("conv2d(co=64, ci=64, oh=32, ow=32, kh=3, kw=3, stride=1)"))
conv2d(co=64, ci=64, oh=32, ow=32, kh=3, kw=3)
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

from loopwright.errors import ArgumentError
from loopwright.ir.affine import var
from loopwright.ir.loopnest import Access, Computation, Iterator
from loopwright.operators._base import Operator

Pair = tuple[int, int]


@dataclass(frozen=True)
class Conv2d(Operator):
    """``output[n, co, oh, ow] += input[n, ci, oh*stride + kh*dilation - padding, ...] * weight[co, ci, kh, kw]``.

    ``co`` and ``ci`` count all channels, those of every group together. ``stride``, ``padding``, ``dilation`` and
    ``input_size`` are one integer or two (``2x1``: rows, columns). Padding defaults to ``dilation * (kernel - 1) //
    2``; ``input_size`` (rows and columns of the input) to ``stride`` times the output's where that fits, else to the
    fewest.
    """

    name: ClassVar[str] = "conv2d"
    n: int = 1
    co: int = 0
    ci: int = 0
    oh: int = 0
    ow: int = 0
    kh: int = 1
    kw: int = 1
    stride: int | Pair = 1
    padding: int | Pair = -1
    dilation: int | Pair = 1
    groups: int = 1
    input_size: int | Pair = 0

    def __post_init__(self) -> None:
        for field in ("n", "co", "ci", "oh", "ow", "kh", "kw", "groups"):
            value = getattr(self, field)
            if not isinstance(value, int) or value < 1:
                raise ArgumentError(f"conv2d: {field}={value} is no positive integer; every extent must be given")
        for field in ("stride", "dilation"):
            self._require_pair(field, 1)
        self._require_pair("padding", -1)
        self._require_pair("input_size", 0)
        if self.co % self.groups or self.ci % self.groups:
            raise ArgumentError(f"conv2d: groups={self.groups} does not divide co={self.co} and ci={self.ci}")
        self._settle("padding", self.paddings, self._same_padding(), -1)
        self._settle("input_size", self.input_sizes, self._default_input_size(), 0)
        for field in ("stride", "dilation"):
            self._settle(field, pair(getattr(self, field)), (1, 1), 1)
        for size, needed, kind in zip(self.input_sizes, self._fitting_outputs(), ("oh", "ow"), strict=True):
            if needed != getattr(self, kind):
                raise ArgumentError(f"conv2d: an input of {size} gives {kind}={needed}, not {getattr(self, kind)}")

    def _require_pair(self, field: str, least: int) -> None:
        value = getattr(self, field)
        if not all(isinstance(part, int) and part >= least for part in pair(value)) or len(pair(value)) != 2:
            raise ArgumentError(
                f"conv2d: {field}={value} must be one integer or two (2x1), of at least {max(least, 0)}"
            )

    def _settle(self, field: str, values: Pair, default: tuple[int, ...], unset: int) -> None:
        """One way to write equal values, so that equal operators compare and print alike."""
        settled = unset if values == default else values[0] if values[0] == values[1] else values
        object.__setattr__(self, field, settled)

    @property
    def kernel(self) -> Pair:
        return self.kh, self.kw

    @property
    def strides(self) -> Pair:
        return pair(self.stride)

    @property
    def dilations(self) -> Pair:
        return pair(self.dilation)

    @property
    def paddings(self) -> Pair:
        """Rows above and below, columns left and right."""
        given, same = pair(self.padding), self._same_padding()
        return tuple(s if g < 0 else g for g, s in zip(given, same, strict=True))  # type: ignore[return-value]

    def _same_padding(self) -> Pair:
        rows, columns = ((k - 1) * d // 2 for k, d in zip(self.kernel, self.dilations, strict=True))
        return rows, columns

    @property
    def input_sizes(self) -> Pair:
        """Rows and columns of the input."""
        given = pair(self.input_size)
        return tuple(d if g == 0 else g for g, d in zip(given, self._default_input_size(), strict=True))  # type: ignore[return-value]

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, rows, columns of the input."""
        return self.ci, *self.input_sizes

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """Channels, rows, columns of the output."""
        return self.co, self.oh, self.ow

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """Shape of the weight, as PyTorch has it."""
        return self.co, self.ci // self.groups, self.kh, self.kw

    @property
    def macs(self) -> int:
        """Multiply-accumulates, batch included."""
        return self.n * self.oh * self.ow * self.parameters

    @property
    def parameters(self) -> int:
        return prod(self.weight_shape)

    def computation(self) -> Computation:
        co, ci = self.co // self.groups, self.ci // self.groups
        group = (Iterator("g", self.groups, "channel"),) if self.groups > 1 else ()
        iterators = (
            Iterator("n", self.n, "batch"),
            *group,
            Iterator("co", co, "channel"),
            Iterator("ci", ci, "channel"),
            Iterator("oh", self.oh, "spatial"),
            Iterator("ow", self.ow, "spatial"),
            Iterator("kh", self.kh, "kernel"),
            Iterator("kw", self.kw, "kernel"),
        )
        out_channel = var("g") * co + var("co") if group else var("co")
        in_channel = var("g") * ci + var("ci") if group else var("ci")
        rows, columns = (
            var(out) * stride + var(tap) * dilation - padding
            for out, tap, stride, dilation, padding in zip(
                ("oh", "ow"), ("kh", "kw"), self.strides, self.dilations, self.paddings, strict=True
            )
        )
        return Computation(
            str(self),
            iterators,
            Access("input", (self.n, *self.input_shape), (var("n"), in_channel, rows, columns)),
            Access("weight", self.weight_shape, (out_channel, var("ci"), var("kh"), var("kw"))),
            Access("output", (self.n, *self.output_shape), (var("n"), out_channel, var("oh"), var("ow"))),
        )

    def _default_input_size(self) -> Pair:
        sizes = []
        for out, kernel, stride, dilation, padding in self._axes():
            fewest = (out - 1) * stride + dilation * (kernel - 1) + 1 - 2 * padding
            sizes.append(out * stride if fewest <= out * stride < fewest + stride else max(fewest, 1))
        return sizes[0], sizes[1]

    def _fitting_outputs(self) -> list[int]:
        return [
            (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
            for size, (_, kernel, stride, dilation, padding) in zip(self.input_sizes, self._axes(), strict=True)
        ]

    def _axes(self) -> list[tuple[int, int, int, int, int]]:
        return list(zip((self.oh, self.ow), self.kernel, self.strides, self.dilations, self.paddings, strict=True))


def pair(value: int | Pair) -> Pair:
    """``2`` as ``(2, 2)``."""
    return (value, value) if isinstance(value, int) else tuple(value)  # type: ignore[return-value]
