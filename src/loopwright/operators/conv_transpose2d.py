"""Two-dimensional transposed convolution, in gather form: every output sums the taps that reach it.

With stride ``s``, the outputs ``s*q + r`` of one phase ``r`` read the taps ``s*t + (r + padding) % s`` and the input
rows ``q - t + (r + padding) // s``. A statement for each phase of rows and columns has exactly its outputs and taps.

>>> from loopwright.operators import parse
>>> print(parse("conv_transpose2d(co=8, ci=16, oh=8, ow=8, kh=4, kw=4, stride=2)"))
conv_transpose2d(co=8, ci=16, oh=8, ow=8, kh=4, kw=4, stride=2)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

from loopwright.errors import ArgumentError
from loopwright.ir.affine import Affine, var
from loopwright.ir.loopnest import Access, Computation, Iterator, LoopNest, Statement, untransformed
from loopwright.ir.move import cut
from loopwright.operators._convolution import ChannelConvolution, Sizes


@dataclass(frozen=True)
class ConvTranspose2d(ChannelConvolution):
    """``output[n, co, ih*stride + kh - padding, ...] += input[n, ci, ih, iw] * weight[ci, co, kh, kw]``.

    The loops are ``n [g] co ci qh qw rh rw th tw``: ``oh = qh*stride + rh`` is an output row of phase ``rh``, and
    ``th`` counts the phase's taps. Rows and columns of the input follow from those of the output. Padding defaults to
    the one with which the output has ``stride`` times the input's rows. Dilation is 1.
    """

    name: ClassVar[str] = "conv_transpose2d"
    axes: ClassVar[str] = "hw"
    n: int = 1
    co: int = 0
    ci: int = 0
    oh: int = 0
    ow: int = 0
    kh: int = 1
    kw: int = 1
    stride: int | Sizes = 1
    padding: int | Sizes = -1
    groups: int = 1

    def __post_init__(self) -> None:
        self.require_extents()
        self.require_sizes("stride", 1)
        self.require_sizes("padding", -1)
        self.require_groups()
        self.settle("padding", self.paddings, self._default_padding(), -1)
        self.settle("stride", self.strides, (1, 1), 1)
        for axis, kernel, stride, size in zip(self.axes, self.kernel, self.strides, self.input_sizes, strict=True):
            if kernel < stride:
                raise ArgumentError(
                    f"{self.name}: k{axis}={kernel} is smaller than the stride of {stride}, so that some outputs would "
                    f"never be written; give a kernel of at least the stride"
                )
            if size < 1:
                raise ArgumentError(f"{self.name}: no input gives o{axis}={getattr(self, f'o{axis}')}; give more")

    @property
    def paddings(self) -> Sizes:
        """Rows and columns of the full output that are cut off at each end."""
        given, default = self.sizes("padding"), self._default_padding()
        return tuple(d if g < 0 else g for g, d in zip(given, default, strict=True))

    def _default_padding(self) -> Sizes:
        return tuple(max(0, k - s + 1) // 2 for k, s in zip(self.kernel, self.strides, strict=True))

    @property
    def input_sizes(self) -> Sizes:
        """Rows and columns of the input."""
        sizes = zip(self.outputs, self.kernel, self.strides, self.paddings, strict=True)
        return tuple((out + 2 * padding - kernel) // stride + 1 for out, kernel, stride, padding in sizes)

    @property
    def output_paddings(self) -> Sizes:
        """Rows and columns that the output has more than the fewest, as PyTorch's ``output_padding``."""
        sizes = zip(self.outputs, self.kernel, self.strides, self.paddings, strict=True)
        return tuple((out + 2 * padding - kernel) % stride for out, kernel, stride, padding in sizes)

    @property
    def input_shape(self) -> Sizes:
        """Channels, rows, columns of the input."""
        return self.ci, *self.input_sizes

    @property
    def weight_shape(self) -> Sizes:
        """Shape of the weight, as PyTorch has it."""
        return self.ci, self.co // self.groups, *self.kernel

    def computation(self) -> Computation:
        channels, out_channel, in_channel = self.channels()
        rows, columns = self._phases()
        positions = (rows.quotient, columns.quotient, rows.phase, columns.phase, rows.tap, columns.tap)
        return Computation(
            str(self),
            (*channels, *positions),
            Access("input", (self.n, *self.input_shape), (var("n"), in_channel, rows.read, columns.read)),
            Access("weight", self.weight_shape, (in_channel, var("co"), rows.weight, columns.weight)),
            Access("output", (self.n, *self.output_shape), (var("n"), out_channel, rows.written, columns.written)),
        )

    def nest(self) -> LoopNest:
        """One statement for each phase of rows and columns."""
        computation = self.computation()
        statements = untransformed(computation).statements
        for axis in self._phases():
            statements = tuple(phase for statement in statements for phase in axis.cut(statement))
        named = (replace(statement, name=f"s{number}") for number, statement in enumerate(statements))
        return LoopNest(computation, tuple(named))

    def _phases(self) -> tuple[Phases, ...]:
        axes = zip(self.axes, self.outputs, self.kernel, self.strides, self.paddings, strict=True)
        return tuple(Phases(*axis) for axis in axes)


@dataclass(frozen=True)
class Phases:
    """One axis of a transposed convolution: output ``stride*q + r`` for quotient ``q`` and phase ``r``; taps ``t``."""

    axis: str
    outputs: int
    kernel: int
    stride: int
    padding: int

    @property
    def quotient(self) -> Iterator:
        return Iterator(f"q{self.axis}", self.quotients(0), "spatial")

    @property
    def phase(self) -> Iterator:
        return Iterator(f"r{self.axis}", min(self.stride, self.outputs), "spatial")

    @property
    def tap(self) -> Iterator:
        return Iterator(f"t{self.axis}", -(-self.kernel // self.stride), "kernel")

    @property
    def written(self) -> Affine:
        """The output position of an instance."""
        return var(f"q{self.axis}") * self.stride + var(f"r{self.axis}")

    @property
    def read(self) -> Affine:
        """The input position of an instance."""
        shifted = var(f"r{self.axis}") + self.padding
        return var(f"q{self.axis}") - var(f"t{self.axis}") + shifted // self.stride

    @property
    def weight(self) -> Affine:
        """The kernel's element of an instance."""
        return var(f"t{self.axis}") * self.stride + (var(f"r{self.axis}") + self.padding) % self.stride

    def quotients(self, phase: int) -> int:
        """How many outputs a phase has."""
        return -((phase - self.outputs) // self.stride)

    def taps(self, phase: int) -> int:
        """How many elements of the kernel a phase reads."""
        return -(((phase + self.padding) % self.stride - self.kernel) // self.stride)

    def cut(self, statement: Statement) -> Iterable[Statement]:
        """A statement for each phase, with the phase's outputs and taps alone."""
        for phase, own in enumerate(cut(statement, self.phase.name, range(1, self.phase.extent))):
            yield _first(_first(own, self.quotient.name, self.quotients(phase)), self.tap.name, self.taps(phase))


def _first(statement: Statement, loop: str, count: int) -> Statement:
    """The first iterations of a loop. The others are none of the operator's, so the piece does not name them."""
    kept = statement if statement.loop(loop).extent == count else cut(statement, loop, [count])[0]
    return replace(kept, piece=statement.piece)
