"""A form over (channel, depth, row, column) as one over (channel, row, column): a depth is folded into the channels.

Element ``(channel, depth)`` becomes channel ``channel * depths + depth``, as it lies in memory. Kernels test rows and
columns for reads outside of the input but never channels, so a contraction is first cut into such that read inside of
the depth: of a convolution of depth 3 remain three, one for each tap.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from loopwright.ir.affine import var
from loopwright.ir.contraction import Contraction, OperatorForm
from loopwright.ir.lattice import Point
from loopwright.ir.loopnest import Case

DEPTH = 1


@dataclass(frozen=True)
class Part:
    """A part of contraction number ``number`` of a form: ``weight`` is the range of every weight dim (none: all)."""

    number: int
    contraction: Contraction
    weight: tuple[slice, ...] = ()

    def weight_of(self, weights: Sequence[np.ndarray]) -> np.ndarray:
        """The part's dense weight, out of those of the form's contractions."""
        return weights[self.number][self.weight].reshape(self.contraction.weight_shape)


def inside_parts(number: int, contraction: Contraction, depths: int) -> Iterator[Part]:
    """Contractions that together do what one does and read depths in ``range(depths)`` only: the longest dim along the
    depth is cut to what it reads inside, for each point of the others."""
    dims = contraction.dims
    moving = sorted((k for k, dim in enumerate(dims) if dim.input[DEPTH]), key=lambda k: dims[k].extent)
    if _reads_inside(contraction, depths):
        yield Part(number, contraction)
    elif moving:
        *others, longest = moving
        step = dims[longest].input[DEPTH]
        for point in product(*(range(dims[k].extent) for k in others)):
            pairs = list(zip(others, point, strict=True))
            start = _moved(contraction.input_offset, [(dims[k].input, at) for k, at in pairs])[DEPTH]
            inside = [at for at in range(dims[longest].extent) if 0 <= start + at * step < depths]
            if inside:
                kept = {k: range(at, at + 1) for k, at in pairs} | {longest: range(inside[0], inside[-1] + 1)}
                yield _part(number, contraction, kept)


def _reads_inside(contraction: Contraction, depths: int) -> bool:
    ends = [dim.input[DEPTH] * (dim.extent - 1) for dim in contraction.dims]
    start = contraction.input_offset[DEPTH]
    return start + sum(min(0, end) for end in ends) >= 0 and start + sum(max(0, end) for end in ends) < depths


def _part(number: int, contraction: Contraction, kept: Mapping[int, range]) -> Part:
    """The iterations ``kept`` of some dims; those of one iteration go into the offsets."""
    ranges = [kept.get(k, range(dim.extent)) for k, dim in enumerate(contraction.dims)]
    pairs = list(zip(contraction.dims, ranges, strict=True))
    part = Contraction(
        tuple(replace(dim, extent=len(own)) for dim, own in pairs if len(own) > 1),
        _moved(contraction.input_offset, [(dim.input, own.start) for dim, own in pairs]),
        _moved(contraction.output_offset, [(dim.output, own.start) for dim, own in pairs]),
    )
    return Part(number, part, tuple(slice(own.start, own.stop) for dim, own in pairs if dim.in_weight))


def _moved(point: Point, moves: Sequence[tuple[Point, int]]) -> Point:
    return tuple(at + sum(step[axis] * count for step, count in moves) for axis, at in enumerate(point))


def folded(form: OperatorForm) -> OperatorForm:
    """The form over (channel and depth, row, column), of one over (channel, depth, row, column) that reads no depth
    outside of the input."""
    read, written = form.input_shape[DEPTH], form.output_shape[DEPTH]
    return replace(
        form,
        input_shape=(form.input_shape[0] * read, *form.input_shape[2:]),
        output_shape=(form.output_shape[0] * written, *form.output_shape[2:]),
        contractions=tuple(_folded(contraction, read, written) for contraction in form.contractions),
        completion=tuple(_folded_case(case, written) for case in form.completion),
    )


def _folded(contraction: Contraction, read: int, written: int) -> Contraction:
    dims = (
        replace(dim, input=_joined(dim.input, read), output=_joined(dim.output, written)) for dim in contraction.dims
    )
    return Contraction(
        tuple(dims), _joined(contraction.input_offset, read), _joined(contraction.output_offset, written)
    )


def _joined(point: Point, depths: int) -> Point:
    channel, depth, *others = point
    return (channel * depths + depth, *others)


def _folded_case(case: Case, depths: int) -> Case:
    own = {"o0": var("o0") // depths, "o1": var("o0") % depths, "o2": var("o1"), "o3": var("o2")}
    channel, depth, *others = (expression.substitute(own) for expression in case.source)
    where = tuple((expression.substitute(own), bound) for expression, bound in case.where)
    return Case(where, (channel * depths + depth, *others))
