"""The path that takes every contraction: one scalar update an instance, added to a zeroed result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np
from tvm import tirx

from loopwright.ir.affine import Affine, constant, var
from loopwright.lowering.contraction import Contraction, Dim, Point
from loopwright.lowering.layout import blocked_channel
from loopwright.lowering.tir import Body, Expression, inside, loop, parallel, sequence, value

Buffer = object


def axis_expression(dims: Sequence[tuple[Affine, Dim]], offset: Point, axis: int, side: str) -> Affine:
    """Where an instance touches ``axis`` of its input or output, over the dims' index expressions."""
    return sum((index * getattr(dim, side)[axis] for index, dim in dims), constant(offset[axis]))


def clear(result: Buffer, shape: Sequence[int]) -> tirx.Stmt:
    """``result = 0`` for a buffer in the stored form ``shape``."""
    return parallel("row", shape[:3], lambda row: _clear_row(result, shape, row))


def accumulate(contraction: Contraction, n: int, x: Buffer, weight: Buffer, result: Buffer) -> tirx.Stmt:
    """``result += contraction(x, weight)``, parallel over the images only, since instances may share an output."""
    names = tuple(f"d{k}" for k in range(len(contraction.dims)))
    extents = {name: dim.extent for name, dim in zip(names, contraction.dims, strict=True)}
    update = _Update(contraction, names, extents, x, weight, result)

    def nest(position: int, indices: Mapping[str, Expression], image: Expression) -> tirx.Stmt:
        if position == len(names):
            return update.statement(image, indices)
        name = names[position]
        return loop(name, extents[name], lambda i: nest(position + 1, {**indices, name: i}, image))

    return parallel("image", (n,), lambda image: nest(0, {}, image[0]))


def packed_shape(contraction: Contraction) -> tuple[int, ...]:
    """The general path reads weights flat, in the contraction's own order."""
    return (prod(contraction.weight_shape),)


def pack(weight: np.ndarray) -> np.ndarray:
    """A dense weight as float32 of `packed_shape`."""
    return np.ascontiguousarray(weight, dtype=np.float32).reshape(-1)


class _Update:
    """The innermost statement of `accumulate`."""

    def __init__(self, contraction, names, extents, x, weight, result):  # type: ignore[no-untyped-def]
        self.extents, self.x, self.weight, self.result = extents, x, weight, result
        dims = tuple((var(name), dim) for name, dim in zip(names, contraction.dims, strict=True))
        self.read = tuple(axis_expression(dims, contraction.input_offset, axis, "input") for axis in range(3))
        self.written = tuple(axis_expression(dims, contraction.output_offset, axis, "output") for axis in range(3))
        shape = contraction.weight_shape
        strides = [prod(shape[k + 1 :]) for k in range(len(shape))]
        weight_dims = [index for index, dim in dims if dim.in_weight]
        self.place = sum((i * stride for i, stride in zip(weight_dims, strides, strict=True)), constant(0))

    def statement(self, image: Expression, indices: Mapping[str, Expression]) -> tirx.Stmt:
        place = self._stored(self.result, self.written, image, indices)
        load = tirx.BufferLoad(self.x, self._stored(self.x, self.read, image, indices))
        product = load * tirx.BufferLoad(self.weight, [value(self.place, indices)])
        update = tirx.BufferStore(self.result, tirx.BufferLoad(self.result, place) + product, place)
        guards = self._guards(indices)
        return tirx.IfThenElse(tirx.all(*guards), update, None) if guards else update

    def _guards(self, indices: Mapping[str, Expression]) -> list[Expression]:
        rows, columns = int(self.x.shape[2]), int(self.x.shape[3])
        guards = []
        for axis, bound in ((self.read[1], rows), (self.read[2], columns)):
            low, high = axis.bounds(self.extents)
            if low < 0 or high >= bound:
                guards.append(inside(value(axis, indices), bound))
        return guards

    def _stored(self, buffer, axes, image, indices):  # type: ignore[no-untyped-def]
        block, lane = blocked_channel(axes[0], int(buffer.shape[4]), self.extents)
        return [image, *(value(axis, indices) for axis in (block, axes[1], axes[2], lane))]


def _clear_row(result: Buffer, shape: Sequence[int], row: tuple[Expression, ...]) -> tirx.Stmt:
    zero = tirx.const(0.0, "float32")

    def column(place: Expression) -> tirx.Stmt:
        return loop("lane", shape[4], lambda lane: tirx.BufferStore(result, zero, [*row, place, lane]))

    return loop("column", shape[3], column)
