"""Linearly bounded lattices: the canonical form of a statement's domain, and so of what it computes.

A lattice is ``{ offset + sum_k d_k * step_k : 0 <= d_k < extent_k }``, an injective image of a box (Teich and Thiele,
"Partitioning of processor arrays", 1993). All domains that the algebra makes are lattices: loops whose index
expressions divide (after `fuse`) are cut into digits until every expression is linear, and digits that continue one
another are merged, so that program transformations cancel out and equal domains have equal lattices.

>>> from loopwright.ir.affine import var
>>> Lattice.of({"co": var("co_outer") * 16 + var("co_inner")}, {"co_outer": 4, "co_inner": 16}, ("co",))
Lattice(offset=(0,), dims=(LatticeDim(extent=64, step=(1,)),))
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from math import gcd, prod

import numpy as np

from loopwright.ir.affine import Affine, FloorDiv, Var, var

Point = tuple[int, ...]


class NotALatticeError(Exception):
    """The index expressions do not span a lattice: a loop cuts across an iterator's extent."""


@dataclass(frozen=True)
class LatticeDim:
    """One direction: ``extent`` points, ``step`` apart (one entry for each iterator)."""

    extent: int
    step: Point


@dataclass(frozen=True)
class Lattice:
    """Offset and directions over an ordered tuple of iterators; in canonical form as made by `of`."""

    offset: Point
    dims: tuple[LatticeDim, ...]

    @classmethod
    def of(cls, index: Mapping[str, Affine], extents: Mapping[str, int], iterators: Sequence[str]) -> Lattice:
        """The set of points ``index`` reaches while every loop runs through its extent; raises `NotALatticeError`."""
        index, extents = digits(index, extents)
        offset = tuple(index[iterator].constant for iterator in iterators)
        dims = [
            LatticeDim(extent, tuple(index[iterator].coefficient(loop) for iterator in iterators))
            for loop, extent in extents.items()
        ]
        return cls(offset, merge_dims(dims))

    @property
    def size(self) -> int:
        """The number of points."""
        return prod(dim.extent for dim in self.dims)

    @property
    def ends(self) -> Point:
        """For each iterator, one more than the largest value."""
        return tuple(
            start + sum((dim.extent - 1) * dim.step[axis] for dim in self.dims) + 1
            for axis, start in enumerate(self.offset)
        )

    def project(self, kept: Sequence[int]) -> Lattice:
        """The lattice of some iterators alone; directions that move none of them vanish."""
        steps = [LatticeDim(dim.extent, tuple(dim.step[i] for i in kept)) for dim in self.dims]
        return Lattice(tuple(self.offset[i] for i in kept), merge_dims([dim for dim in steps if any(dim.step)]))

    def image(self, index: Sequence[Affine], iterators: Sequence[str]) -> Lattice:
        """The elements at expressions ``index`` over the iterators, linear along every direction; directions that move
        none vanish."""
        start = dict(zip(iterators, self.offset, strict=True))
        steps = [
            LatticeDim(dim.extent, linear_map(index, dict(zip(iterators, dim.step, strict=True)))) for dim in self.dims
        ]
        offset = tuple(expression.evaluate(start) for expression in index)
        return Lattice(offset, merge_dims([dim for dim in steps if any(dim.step)]))

    def flat(self, shape: Sequence[int]) -> np.ndarray:
        """Row-major numbers of all points in an array of ``shape``; one axis of the result for each direction."""
        strides = [prod(shape[k + 1 :]) for k in range(len(shape))]
        numbers = np.asarray(np.dot(self.offset, strides))
        for dim in self.dims:
            numbers = numbers[..., None] + np.arange(dim.extent) * int(np.dot(dim.step, strides))
        return numbers


def linear_map(index: Sequence[Affine], step: Mapping[str, int]) -> Point:
    """How far each expression moves when the iterators move by ``step``."""
    moved = [(name, by) for name, by in step.items() if by]
    return tuple(sum(expression.coefficient(name) * by for name, by in moved) for expression in index)


def count_union(lattices: Sequence[Lattice]) -> int:
    """The number of points in the union of lattices over the same iterators."""
    distinct = list(dict.fromkeys(lattices))
    if all(apart(a, b, len(a.offset)) for k, a in enumerate(distinct) for b in distinct[:k]):
        return sum(lattice.size for lattice in distinct)
    shape = [max(ends) for ends in zip(*(lattice.ends for lattice in distinct), strict=True)]
    found = np.zeros(prod(shape), bool)
    for lattice in distinct:
        found[lattice.flat(shape)] = True
    return int(found.sum())


def apart(first: Lattice, second: Lattice, rank: int) -> bool:
    """True when, along one of the first ``rank`` axes, their intervals don't meet, or their residues by the steps'
    greatest common divisor differ (Banerjee, "Dependence analysis for supercomputing", 1988): surely no points of
    theirs agree in all those axes."""
    return any(_apart_along(first, second, axis) for axis in range(rank))


def _apart_along(first: Lattice, second: Lattice, axis: int) -> bool:
    if first.ends[axis] <= second.offset[axis] or second.ends[axis] <= first.offset[axis]:
        return True
    common = gcd(*(dim.step[axis] for lattice in (first, second) for dim in lattice.dims))
    return common > 1 and (first.offset[axis] - second.offset[axis]) % common != 0


def merge_dims(dims: Sequence[LatticeDim]) -> tuple[LatticeDim, ...]:
    """Drops directions of one point, joins those that continue one another, and orders the rest."""
    pending = [dim for dim in dims if dim.extent > 1]
    merged = True
    while merged:
        merged = False
        for low in pending:
            longer = tuple(low.extent * step for step in low.step)
            high = next((dim for dim in pending if dim is not low and dim.step == longer), None)
            if high is not None:
                pending = [dim for dim in pending if dim is not low and dim is not high]
                pending.append(LatticeDim(low.extent * high.extent, low.step))
                merged = True
                break
    return tuple(sorted(pending, key=lambda dim: (dim.step, dim.extent)))


def join(first: Lattice, second: Lattice) -> Lattice | None:
    """Their union, where it is a lattice because ``second`` continues ``first`` along one direction; else ``None``.

    The lattices must not meet. A direction in which one of them has a single point may be any.
    """
    gap = tuple(b - a for a, b in zip(first.offset, second.offset, strict=True))
    if min(gap, default=0) < 0:
        return None
    for start in (*first.dims, LatticeDim(1, gap)):
        if gap == tuple(start.extent * step for step in start.step):
            ends = [dim for dim in second.dims if dim.step == start.step]
            end = ends[0] if ends else LatticeDim(1, start.step)
            rest = _without(first.dims, start)
            if rest == _without(second.dims, end):
                return Lattice(first.offset, merge_dims([*rest, LatticeDim(start.extent + end.extent, start.step)]))
    return None


def join_all(lattices: Sequence[Lattice], unlike: Sequence[int] = ()) -> list[Lattice]:
    """The lattices, which must not meet, joined for as long as two of them join, though never along the iterators
    ``unlike``."""
    pending = list(lattices)
    pair = _joining(pending, unlike)
    while pair is not None:
        first, second, union = pair
        pending = [lattice for lattice in pending if lattice is not first and lattice is not second] + [union]
        pair = _joining(pending, unlike)
    return sorted(pending, key=lambda lattice: (lattice.offset, str(lattice.dims)))


def _joining(lattices: Sequence[Lattice], unlike: Sequence[int]) -> tuple[Lattice, Lattice, Lattice] | None:
    for first, second in permutations(lattices, 2):
        alike = all(first.offset[axis] == second.offset[axis] for axis in unlike)
        union = join(first, second) if alike else None
        if union is not None:
            return first, second, union
    return None


def _without(dims: Sequence[LatticeDim], removed: LatticeDim) -> list[LatticeDim]:
    return [dim for dim in dims if dim != removed]


def digits(index: Mapping[str, Affine], extents: Mapping[str, int]) -> tuple[dict[str, Affine], dict[str, int]]:
    """Cuts loops into digits until every expression is linear; raises `NotALatticeError` where no cut does it."""
    index = {name: expression.simplify(extents) for name, expression in index.items()}
    extents = dict(extents)
    while any(not expression.is_linear for expression in index.values()):
        loop, size = _cut(index, extents)
        high, low = f"{loop}'", f"{loop}."
        extents = {
            name: extent
            for old, count in extents.items()
            for name, extent in (((high, count // size), (low, size)) if old == loop else ((old, count),))
        }
        pieces = {loop: var(high) * size + var(low)}
        index = {name: expression.substitute(pieces).simplify(extents) for name, expression in index.items()}
    return index, extents


def _cut(index: Mapping[str, Affine], extents: Mapping[str, int]) -> tuple[str, int]:
    """A loop and the size of its low digit, at which the divisor of some expression cuts it."""
    for division in (division for expression in index.values() for division in _divisions(expression)):
        for atom, coefficient in division.numerator.terms:
            size = division.divisor // coefficient if coefficient > 0 and division.divisor % coefficient == 0 else 0
            if isinstance(atom, Var) and 1 < size < extents[atom.name] and extents[atom.name] % size == 0:
                return atom.name, size
    crossing = (f"{name} = {expression}" for name, expression in index.items() if not expression.is_linear)
    raise NotALatticeError(", ".join(crossing))


def _divisions(expression: Affine) -> Iterator[FloorDiv]:
    for atom, _ in expression.terms:
        if isinstance(atom, FloorDiv):
            yield atom
            yield from _divisions(atom.numerator)
