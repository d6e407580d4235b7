"""Proofs, from index expressions alone, that a nest keeps the order of its sums.

The usual nest is decided here in a time that does not grow with extents; isl decides the rest
(`loopwright.ir.dependences`). The proof is over digits (`loopwright.ir.lattice`): loops cut until every iterator is
linear, so that a statement runs its instances in the lexicographic order of its digits. For one output element, the
digits that move the output are fixed when the element determines them, and the others, its sum, run through a box.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from loopwright.ir.affine import Affine
from loopwright.ir.lattice import Lattice, LatticeDim, NotALatticeError, Point, apart, digits, merge_dims
from loopwright.ir.loopnest import LoopNest, Statement


@dataclass(frozen=True)
class Sums:
    """How a statement sums up the elements that it writes.

    ``steps`` are the digits of a sum along the reduction iterators, outermost first. ``starts`` has a point for every
    element: its coordinates (``rank`` of them), then the reduction iterators at the first instance of its sum.
    """

    steps: tuple[LatticeDim, ...]
    starts: Lattice
    rank: int

    @property
    def start_first(self) -> bool:
        """Whether of every sum the instance that runs first is the first of the untransformed order."""
        return all(dim.step > (0,) * len(dim.step) for dim in self.steps)

    @property
    def in_order(self) -> bool:
        """Whether all sums run in the untransformed order: no digit steps over less than those inside of it."""
        inner = [_span(self.steps[k + 1 :], len(dim.step)) for k, dim in enumerate(self.steps)]
        return self.start_first and all(dim.step > rest for dim, rest in zip(self.steps, inner, strict=True))

    @property
    def ends(self) -> Lattice:
        """As ``starts``, with the last instance of every sum."""
        width = len(self.starts.offset)
        span = (*(0,) * self.rank, *_span(self.steps, width - self.rank))
        return replace(self.starts, offset=tuple(map(sum, zip(self.starts.offset, span, strict=True))))


def surely_starts_first(nest: LoopNest) -> bool:
    """Whether, as far as this can tell, the first instance of every output element runs first."""
    sums = _sums(nest)
    return sums is not None and all(own.start_first for own in sums) and _follow(sums, [own.starts for own in sums])


def surely_in_order(nest: LoopNest) -> bool:
    """Whether, as far as this can tell, all instances of every output element run in the untransformed order."""
    sums = _sums(nest)
    return sums is not None and all(own.in_order for own in sums) and _follow(sums, [own.ends for own in sums])


def surely_independent(statement: Statement, loop: str) -> bool:
    """Whether, as far as this can tell, different iterations of ``loop`` write different elements."""
    moved = _digits(statement)
    if moved is None:
        return False
    written, extents = _written(statement, moved), moved[1]
    own = [digit for digit, extent in extents.items() if digit.rstrip("'.") == loop and extent > 1]
    return all(any(digit in expression.variables for expression in written) for digit in own)


def _sums(nest: LoopNest) -> list[Sums] | None:
    computation = nest.computation
    if not _determined(computation.output.index, computation.extents):
        return None
    found = [_sums_of(statement) for statement in nest.statements]
    known = [sums for sums in found if sums is not None]
    return known if len(known) == len(found) else None


def _sums_of(statement: Statement) -> Sums | None:
    moved = _digits(statement)
    if moved is None:
        return None
    (index, extents), computation = moved, statement.computation
    written = _written(statement, moved)
    reduced = [index[name] for name in computation.names if name not in computation.output_iterators]
    outer = frozenset().union(*(expression.variables for expression in written))
    steps = _dims(reduced, {digit: extent for digit, extent in extents.items() if digit not in outer})
    point = [*written, *reduced]
    moves = _dims(point, {digit: extent for digit, extent in extents.items() if digit in outer})
    if any(by < 0 for dim in moves for by in dim.step):
        return None
    starts = Lattice(tuple(expression.constant for expression in point), merge_dims(moves))
    return Sums(tuple(steps), starts, len(written))


def _dims(point: Sequence[Affine], extents: Mapping[str, int]) -> list[LatticeDim]:
    """How the digits of more than one iteration move a point."""
    return [
        LatticeDim(extent, tuple(expression.coefficient(digit) for expression in point))
        for digit, extent in extents.items()
        if extent > 1
    ]


Digits = tuple[dict[str, Affine], dict[str, int]]


def _digits(statement: Statement) -> Digits | None:
    """The iterators over the loops' digits, if the written element determines the digits that move it."""
    try:
        moved = digits(statement.index, statement.extents)
    except NotALatticeError:
        return None
    return moved if _determined(_written(statement, moved), moved[1]) else None


def _written(statement: Statement, moved: Digits) -> list[Affine]:
    return [expression.substitute(moved[0]) for expression in statement.computation.output.index]


def _determined(index: Iterable[Affine], extents: Mapping[str, int]) -> bool:
    """Whether equal values of all expressions mean equal values of all their variables: each is a number in a mixed
    radix, every variable stepping over all that the smaller ones reach."""
    return all(expression.is_linear and _is_mixed_radix(expression, extents) for expression in index)


def _is_mixed_radix(expression: Affine, extents: Mapping[str, int]) -> bool:
    reach = 0
    for name in sorted(expression.variables, key=lambda name: abs(expression.coefficient(name))):
        step = abs(expression.coefficient(name))
        if extents[name] > 1 and step <= reach:
            return False
        reach += step * (extents[name] - 1)
    return True


def _follow(sums: Sequence[Sums], upto: Sequence[Lattice]) -> bool:
    """Whether every sum reaches its point of ``upto`` before a later statement starts on the same element."""
    pairs = combinations(zip(sums, upto, strict=True), 2)
    return all(_precedes(end, later.starts, later.rank) for (_, end), (later, _) in pairs)


def _precedes(first: Lattice, second: Lattice, rank: int) -> bool:
    """Whether, wherever the first ``rank`` coordinates agree, the others rise lexicographically."""
    if first.offset[:rank] == second.offset[:rank] and first.dims == second.dims:
        return first.offset[rank:] < second.offset[rank:]
    if apart(first, second, rank):
        return True
    for axis in range(rank, len(first.offset)):
        if first.ends[axis] - 1 != second.offset[axis]:
            return first.ends[axis] - 1 < second.offset[axis]
    return False


def _span(steps: Sequence[LatticeDim], size: int) -> Point:
    """How far all digits together move."""
    return tuple(sum(dim.step[axis] * (dim.extent - 1) for dim in steps) for axis in range(size))
