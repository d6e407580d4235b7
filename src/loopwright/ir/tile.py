"""Tiles: what the loops inside of one read of a tensor, in one iteration of that loop and of those around it.

>>> from loopwright.operators import parse
>>> nest = parse("conv2d(co=8, ci=4, oh=8, ow=8, kh=3, kw=3)").nest()
>>> found = tile(nest.statements[0], "input", "ci")
>>> found.shape, found.elements, found.memory_bytes
((1, 1, 10, 10), 100, 400)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import gcd, prod

import numpy as np

from loopwright.errors import NotApplicableError
from loopwright.ir.affine import Affine, var
from loopwright.ir.lattice import Lattice, LatticeDim, NotALatticeError, digits
from loopwright.ir.loopnest import FLOAT_BYTES, VERSION, Access, Statement


@dataclass(frozen=True)
class Tile:
    """A part of ``tensor``: along each axis ``shape`` indices, ``steps`` apart, from ``origin`` (an expression over the
    loops down to the one that the tile belongs to). Indices outside of the tensor are padding.

    ``elements`` counts the distinct indices that are read; it is smaller than the shape's product only where a loop
    moves several axes at once.
    """

    tensor: str
    origin: tuple[Affine, ...]
    shape: tuple[int, ...]
    steps: tuple[int, ...]
    elements: int

    @property
    def memory_bytes(self) -> int:
        """Size of a float32 copy of ``shape``."""
        return prod(self.shape) * FLOAT_BYTES

    def element(self, place: Sequence[Affine]) -> tuple[Affine, ...]:
        """The element of the tensor at a place of the copy."""
        return tuple(start + at * step for start, at, step in zip(self.origin, place, self.steps, strict=True))

    def place(self, element: Sequence[Affine]) -> tuple[Affine, ...]:
        """The place in the copy of an element of the tensor that the loops inside read."""
        return tuple((at - start) // step for start, at, step in zip(self.origin, element, self.steps, strict=True))


def tile(statement: Statement, tensor: str, name: str) -> Tile:
    """The tile of ``input`` or ``weight`` that the loops inside of loop ``name`` read.

    Raises `NotApplicableError` where they read differently shaped parts, because a loop cuts across an iterator.
    """
    return tile_of(statement, read_access(statement, tensor), name)


def read_access(statement: Statement, tensor: str) -> Access:
    """How instances read ``input``, or else the weight, of which the first axis is its version."""
    computation = statement.computation
    if tensor == computation.input.tensor:
        return computation.input
    weight = computation.weight
    versions = statement.lattice.ends[-1]
    return replace(weight, shape=(versions, *weight.shape), index=(var(VERSION), *weight.index))


def tile_of(statement: Statement, access: Access, name: str) -> Tile:
    """The tile that the loops inside of loop ``name`` touch through ``access``; raises as `tile` does."""
    inner = list(statement.extents)[list(statement.extents).index(statement.loop(name).name) + 1 :]
    element = element_of(statement, access)
    axes, dims = range(len(element)), _dims(statement, element, inner)
    lows = [sum(min(0, dim.step[axis] * (dim.extent - 1)) for dim in dims) for axis in axes]
    spans = [sum(abs(dim.step[axis]) * (dim.extent - 1) for dim in dims) for axis in axes]
    steps = [gcd(*(dim.step[axis] for dim in dims)) or 1 for axis in axes]
    start = dict.fromkeys(inner, Affine())
    return Tile(
        access.tensor,
        tuple(expression.substitute(start) + low for expression, low in zip(element, lows, strict=True)),
        tuple(span // step + 1 for span, step in zip(spans, steps, strict=True)),
        tuple(steps),
        _count(dims),
    )


def element_of(statement: Statement, access: Access) -> tuple[Affine, ...]:
    """The element that an instance touches, as expressions over the loops."""
    return tuple(
        expression.substitute(statement.coordinates).simplify(statement.extents) for expression in access.index
    )


def _dims(statement: Statement, element: Sequence[Affine], inner: Sequence[str]) -> list[LatticeDim]:
    """How the digits of the inner loops move the element."""
    try:
        moved, extents = digits({str(axis): e for axis, e in enumerate(element)}, statement.extents)
    except NotALatticeError as error:
        raise NotApplicableError(
            f"iterations read parts of different shapes, because a loop cuts across an iterator ({error}); "
            f"prefetch without the fuse or split that made that loop"
        ) from error
    dims = [
        LatticeDim(extent, tuple(expression.coefficient(digit) for expression in moved.values()))
        for digit, extent in extents.items()
        if digit.rstrip("'.") in inner
    ]
    return [dim for dim in dims if dim.extent > 1 and any(dim.step)]


def _count(dims: Sequence[LatticeDim]) -> int:
    """The number of distinct points; directions that share no axis are counted apart."""
    total, pending = 1, list(dims)
    while pending:
        part = [pending.pop()]
        for dim in part:
            joining = [other for other in pending if _share_axis(dim, other)]
            part += joining
            pending = [other for other in pending if not any(other is one for one in joining)]
        total *= _distinct(part)
    return total


def _share_axis(first: LatticeDim, second: LatticeDim) -> bool:
    return any(a and b for a, b in zip(first.step, second.step, strict=True))


def _distinct(dims: Sequence[LatticeDim]) -> int:
    axes = range(len(dims[0].step))
    spans = [sum(abs(dim.step[axis]) * (dim.extent - 1) for dim in dims) for axis in axes]
    positive = Lattice(tuple(spans), tuple(dims))
    return int(np.unique(positive.flat([2 * span + 1 for span in spans])).size)
