"""What a nest must move at least: the distinct elements that its instances touch, counted exactly.

>>> from loopwright.operators import parse
>>> traffic(parse("conv2d(co=8, ci=4, oh=8, ow=8, kh=3, kw=3)").nest())
Traffic(input=256, weight=288, output=512)
>>> traffic(parse("conv2d(co=8, ci=4, oh=8, ow=8, stride=2)").nest())
Traffic(input=256, weight=32, output=512)
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from loopwright.ir.affine import Affine
from loopwright.ir.lattice import Lattice
from loopwright.ir.loopnest import FLOAT_BYTES, Access, LoopNest


@dataclass(frozen=True)
class Traffic:
    """Elements of input, weight (or second input) and output that are touched in one run, batch included; padding is
    not. What a projection reads and writes after the nest comes on top of its own three."""

    input: int
    weight: int
    output: int

    @property
    def memory_bytes(self) -> int:
        """In float32."""
        return FLOAT_BYTES * (self.input + self.weight + self.output)

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(self.input + other.input, self.weight + other.weight, self.output + other.output)


def traffic(nest: LoopNest) -> Traffic:
    """What the nest touches."""
    accesses = (nest.computation.input, nest.weight, nest.computation.output)
    own = Traffic(*(_touched(nest, access) for access in accesses))
    return own if nest.projection is None else own + traffic(nest.projection.nest)


def _touched(nest: LoopNest, access: Access) -> int:
    """Distinct elements inside of the tensor; all images touch the same ones."""
    axes = [(index, extent) for index, extent in zip(access.index, access.shape, strict=True) if _in_image(nest, index)]
    index, shape = [own for own, _ in axes], [extent for _, extent in axes]
    touched = np.zeros(shape, bool)
    for lattice in nest.lattices:
        _mark(touched, lattice.image(index, nest.iterators))
    return int(touched.sum()) * (prod(access.shape) // prod(shape))


def _in_image(nest: LoopNest, index: Affine) -> bool:
    return index.variables <= set(nest.iterators)


def _mark(touched: np.ndarray, lattice: Lattice) -> None:
    """Sets the points of the lattice that lie inside."""
    steps = np.meshgrid(*(np.arange(dim.extent) for dim in lattice.dims), indexing="ij", sparse=True)
    points = [
        sum((step * dim.step[axis] for step, dim in zip(steps, lattice.dims, strict=True)), np.asarray(start))
        for axis, start in enumerate(lattice.offset)
    ]
    inside = np.asarray(True)
    for coordinate, extent in zip(points, touched.shape, strict=True):
        inside = inside & (coordinate >= 0) & (coordinate < extent)
    touched[tuple(np.broadcast_to(coordinate, inside.shape)[inside] for coordinate in points)] = True
