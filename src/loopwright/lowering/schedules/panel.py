"""The part of its input that a task reads, made ready in memory of the task's own before its tiles are computed.

What comes before a convolution for each element alone (batch norm and ReLU, in densely connected networks) thus needs
no pass of its own over the data, and tiles read from memory that the task has just written, side by side, rather than
from what other processors wrote.

    panel[tile, block, row, column, :] = prologue(x[first block + block, first row + row, first column + column, :])
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

from tvm import tirx

from loopwright.ir.affine import Affine, constant, var
from loopwright.ir.contraction import Contraction, OperatorForm
from loopwright.lowering.epilogue import EpilogueBuffers
from loopwright.lowering.schedules.digits import Axes, Digit, Digits
from loopwright.lowering.schedules.placement import is_injective
from loopwright.lowering.schedules.scope import Scope
from loopwright.lowering.schedules.source import Source
from loopwright.lowering.tir import Expression, loop, ramp, sequence


def takes_panels(form: OperatorForm) -> bool:
    """Whether a kernel of ``form``, over images, can have a prologue: a single convolution of kernel size and stride 1
    and one group."""
    if len(form.contractions) != 1 or form.input_shape[1:] != form.output_shape[1:]:
        return False
    [contraction] = form.contractions
    return _reads_where_it_writes(contraction) and is_injective(form, contraction)


def _reads_where_it_writes(contraction: Contraction) -> bool:
    """Whether every output looks at the input's pixel at its own place alone, and all of them at the same channels."""
    same_pixel = all(dim.input[1:] == dim.output[1:] for dim in contraction.dims)
    same_channels = not any(dim.input[0] and any(dim.output) for dim in contraction.dims)
    return same_pixel and same_channels and contraction.input_offset[1:] == contraction.output_offset[1:]


@dataclass(frozen=True)
class Panel:
    """The panel of each task of ``digits``, filled from ``x`` through ``prologue``, whose parameters count the channels
    of ``x`` from number ``start`` on. What one register tile reads lies together, as an image of its own."""

    digits: Digits
    x: Any
    prologue: EpilogueBuffers
    start: int

    @cached_property
    def source(self) -> Source:
        """The panel as the task's tiles read it."""
        outside = [digit.name for digit in (*self.digits.of("task"), *self._walked)]
        channel, row, column = _without(self.digits.input_axes, outside)
        whole_blocks = channel.constant - channel.constant % self._block
        channel, row, column = channel - whole_blocks, row - row.constant, column - column.constant
        bounds = (int(extent) for extent in self.x.shape[1:4])
        extents = map(self._extent, (channel // self._block, row, column))
        shape = (prod(digit.extent for digit in self._walked), *map(min, extents, bounds), self._block)
        return Source(tirx.decl_buffer(shape, "float32", "panel"), (channel, row, column), self._image)

    @property
    def _image(self) -> Affine:
        """The number of a tile's image in the panel."""
        number = constant(0)
        for digit in self._walked:
            number = number * digit.extent + var(digit.name)
        return number

    def fill(self, scope: Scope) -> tirx.Stmt:
        """Computes the panel of the task of ``scope``."""
        return sequence([tirx.AllocBuffer(self.source.buffer), self._fill(scope, self._walked)])

    def _fill(self, scope: Scope, walked: tuple[Digit, ...]) -> tirx.Stmt:
        if walked:
            digit, *inner = walked
            return loop(digit.name, digit.extent, lambda i: self._fill(scope.bind(digit, i), tuple(inner)))
        _, blocks, rows, columns, _ = (int(extent) for extent in self.source.buffer.shape)

        def row_of(block: Expression, row: Expression) -> tirx.Stmt:
            return loop("column", columns, lambda column: self._vector(scope, (block, row, column)))

        return loop("block", blocks, lambda block: loop("row", rows, lambda row: row_of(block, row)))

    def _vector(self, scope: Scope, place: tuple[Expression, ...]) -> tirx.Stmt:
        """One vector of an image of the panel."""
        inside = [digit.name for digit in self.digits.digits if digit.kind != "task" and digit not in self._walked]
        channel, *pixel = _without(self.digits.input_axes, inside)
        first = (scope.blocked(channel, self._block)[0], *pixel)
        origin = [scope.value(axis) + index for axis, index in zip(first, place, strict=True)]
        read = tirx.BufferLoad(self.x, [scope.variables["image"], *origin, ramp(0, self._block)])
        block, (_, row, column) = origin[0] - self.start // self._block, place
        value = self.prologue.apply(read, (0, block, row, column, 0), self._block)
        written = [scope.value(self._image), *place, ramp(0, self._block)]
        return tirx.BufferStore(self.source.buffer, value, written)

    @property
    def _walked(self) -> tuple[Digit, ...]:
        """The digits of a task that choose its tile's pixels."""
        return tuple(digit for digit in self.digits.of("walk") if not self.digits.contraction.dims[digit.dim].in_weight)

    @property
    def _block(self) -> int:
        return int(self.x.shape[4])

    def _extent(self, axis: Affine) -> int:
        extents = {digit.name: digit.extent for digit in self.digits.digits}
        return axis.bounds(extents)[1] + 1


def _without(axes: Axes, names: Iterable[str]) -> Axes:
    """The axes where the named digits are 0."""
    zeros = dict.fromkeys(names, constant(0))
    channel, row, column = (axis.substitute(zeros) for axis in axes)
    return channel, row, column
