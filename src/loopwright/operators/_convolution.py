"""What convolutions over any number of axes share: sizes given once or for each axis, and their accesses."""

from __future__ import annotations

from dataclasses import fields
from math import prod
from typing import ClassVar

from loopwright.errors import ArgumentError
from loopwright.ir.affine import Affine, var
from loopwright.ir.loopnest import Access, Computation, Iterator
from loopwright.operators._base import Operator, require_positive

Sizes = tuple[int, ...]


class ChannelConvolution(Operator):
    """Shapes of an operator with channels in groups, an output extent ``o?`` and a kernel extent ``k?`` for each of
    ``axes``, and sizes (strides, paddings, ...) that are one integer or one for each axis."""

    axes: ClassVar[str]
    n: int
    co: int
    ci: int
    padding: int | Sizes
    stride: int | Sizes
    groups: int

    @property
    def outputs(self) -> Sizes:
        """Positions of the output along each axis."""
        return tuple(getattr(self, f"o{axis}") for axis in self.axes)

    @property
    def kernel(self) -> Sizes:
        return tuple(getattr(self, f"k{axis}") for axis in self.axes)

    @property
    def strides(self) -> Sizes:
        return self.sizes("stride")

    @property
    def output_shape(self) -> Sizes:
        """Channels and positions of the output."""
        return self.co, *self.outputs

    def sizes(self, field: str) -> Sizes:
        """The field with one entry for each axis: ``2`` as ``(2, 2)``."""
        value = getattr(self, field)
        return (value,) * len(self.axes) if isinstance(value, int) else tuple(value)

    def require_extents(self) -> None:
        """Raises `ArgumentError` unless every extent is a positive integer."""
        sized = ("stride", "padding", "dilation", "input_size")
        require_positive(self, [field.name for field in fields(self) if field.name not in sized])

    def require_groups(self) -> None:
        """Raises `ArgumentError` unless the groups divide the channels."""
        if self.co % self.groups or self.ci % self.groups:
            raise ArgumentError(f"{self.name}: groups={self.groups} does not divide co={self.co} and ci={self.ci}")

    def require_sizes(self, field: str, least: int) -> None:
        """Raises `ArgumentError` unless the field is one integer or one for each axis, none below ``least``."""
        values = self.sizes(field)
        if len(values) != len(self.axes) or not all(isinstance(value, int) and value >= least for value in values):
            raise ArgumentError(
                f"{self.name}: {field}={getattr(self, field)} must be {_FORMS[len(self.axes)]}, "
                f"of at least {max(least, 0)}"
            )

    def settle(self, field: str, values: Sizes, default: Sizes, unset: int) -> None:
        """One way to write equal values, so that equal operators compare and print alike."""
        settled = unset if values == default else values[0] if len(set(values)) == 1 else values
        object.__setattr__(self, field, settled)

    def channels(self) -> tuple[tuple[Iterator, ...], Affine, Affine]:
        """The iterators of batch and channels, and the output's and the input's channel over them."""
        co, ci = self.co // self.groups, self.ci // self.groups
        batch, group = Iterator("n", self.n, "batch"), Iterator("g", self.groups, "channel")
        inner = Iterator("co", co, "channel"), Iterator("ci", ci, "channel")
        if self.groups == 1:
            return (batch, *inner), var("co"), var("ci")
        return (batch, group, *inner), var("g") * co + var("co"), var("g") * ci + var("ci")


class Convolution(ChannelConvolution):
    """``output[n, co, o] += input[n, ci, o*stride + k*dilation - padding] * weight[co, ci, k]``, one ``o`` and ``k`` an
    axis. Padding defaults to ``dilation * (kernel - 1) // 2``; ``input_size`` to ``stride`` times the output's where
    that fits, else to the fewest."""

    dilation: int | Sizes
    input_size: int | Sizes

    def __post_init__(self) -> None:
        self.require_extents()
        for field, least in (("stride", 1), ("dilation", 1), ("padding", -1), ("input_size", 0)):
            self.require_sizes(field, least)
        self.require_groups()
        self.settle("padding", self.paddings, self._same_padding(), -1)
        self.settle("input_size", self.input_sizes, self._default_input_size(), 0)
        for field in ("stride", "dilation"):
            self.settle(field, self.sizes(field), (1,) * len(self.axes), 1)
        for axis, size, fitting in zip(self.axes, self.input_sizes, self._fitting_outputs(), strict=True):
            given = getattr(self, f"o{axis}")
            if fitting != given:
                raise ArgumentError(
                    f"{self.name}: an input of {size} gives o{axis}={fitting}, not {given}; give o{axis}={fitting}, or "
                    f"another input_size or padding"
                )

    @property
    def dilations(self) -> Sizes:
        return self.sizes("dilation")

    @property
    def paddings(self) -> Sizes:
        """Zeros before the first and behind the last position of each axis."""
        given, same = self.sizes("padding"), self._same_padding()
        return tuple(s if g < 0 else g for g, s in zip(given, same, strict=True))

    def _same_padding(self) -> Sizes:
        return tuple((k - 1) * d // 2 for k, d in zip(self.kernel, self.dilations, strict=True))

    @property
    def input_sizes(self) -> Sizes:
        """Positions of the input along each axis."""
        given = self.sizes("input_size")
        return tuple(d if g == 0 else g for g, d in zip(given, self._default_input_size(), strict=True))

    @property
    def input_shape(self) -> Sizes:
        """Channels and positions of the input."""
        return self.ci, *self.input_sizes

    @property
    def weight_shape(self) -> Sizes:
        """Shape of the weight, as PyTorch has it."""
        return self.co, self.ci // self.groups, *self.kernel

    @property
    def macs(self) -> int:
        """Multiply-accumulates, batch included."""
        return self.n * prod(self.outputs) * self.parameters

    @property
    def parameters(self) -> int:
        return prod(self.weight_shape)

    def computation(self) -> Computation:
        channels, out_channel, in_channel = self.channels()
        outs, taps = ([var(f"{kind}{axis}") for axis in self.axes] for kind in "ok")
        spatial = (Iterator(f"o{axis}", size, "spatial") for axis, size in zip(self.axes, self.outputs, strict=True))
        kernel = (Iterator(f"k{axis}", size, "kernel") for axis, size in zip(self.axes, self.kernel, strict=True))
        reads = (
            out * stride + tap * dilation - padding
            for out, tap, stride, dilation, padding in zip(
                outs, taps, self.strides, self.dilations, self.paddings, strict=True
            )
        )
        return Computation(
            str(self),
            (*channels, *spatial, *kernel),
            Access("input", (self.n, *self.input_shape), (var("n"), in_channel, *reads)),
            Access("weight", self.weight_shape, (out_channel, var("ci"), *taps)),
            Access("output", (self.n, *self.output_shape), (var("n"), out_channel, *outs)),
        )

    def _default_input_size(self) -> Sizes:
        sizes = []
        for out, kernel, stride, dilation, padding in self._windows():
            fewest = (out - 1) * stride + dilation * (kernel - 1) + 1 - 2 * padding
            sizes.append(out * stride if fewest <= out * stride < fewest + stride else max(fewest, 1))
        return tuple(sizes)

    def _fitting_outputs(self) -> Sizes:
        return tuple(
            (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
            for size, (_, kernel, stride, dilation, padding) in zip(self.input_sizes, self._windows(), strict=True)
        )

    def _windows(self) -> list[tuple[int, int, int, int, int]]:
        return list(zip(self.outputs, self.kernel, self.strides, self.dilations, self.paddings, strict=True))


_FORMS = {1: "one integer", 2: "one integer or two (2x1)", 3: "one integer or three (2x1x1)"}
