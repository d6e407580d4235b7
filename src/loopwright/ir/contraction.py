"""What a nest computes, apart from its order: strided contractions, and where unwritten outputs come from.

Every lowering, and the recognition of equal operators, starts here: program transformations cancel out, so equal
operators reached by different sequences have equal forms. Each of the nest's lattices becomes one `Contraction`

    out[output_offset + sum_k d_k * dims[k].output]
        += x[input_offset + sum_k d_k * dims[k].input] * w[d over weight dims]

for all ``0 <= d_k < dims[k].extent``, reads outside of ``x`` being zero. Points exclude the batch: any batch size runs.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from math import prod

import numpy as np

from loopwright.ir.affine import Affine, var
from loopwright.ir.lattice import Lattice, LatticeDim, Point, count_union, linear_map
from loopwright.ir.loopnest import Case, LoopNest, Projection


@dataclass(frozen=True)
class Dim:
    """One loop of a contraction and its step along every axis of input and output."""

    extent: int
    input: Point
    output: Point
    in_weight: bool

    @cached_property
    def role(self) -> str:
        """``pixel`` (input and output), ``group`` (all three), ``out`` (weight and output), ``reduce``."""
        if not self.in_weight:
            return "pixel"
        if not any(self.output):
            return "reduce"
        return "group" if any(self.input) else "out"


@dataclass(frozen=True)
class Contraction:
    """A strided box; ``dims`` are ordered pixel, group, out, reduce, and the weight is stored densely over the weight
    dims in that order. ``origin`` says which elements of the untransformed operator's weight these are (an offset and a
    step for each weight dim); it is not part of what is computed, so it is not compared."""

    dims: tuple[Dim, ...]
    input_offset: Point
    output_offset: Point
    origin: Lattice | None = field(default=None, compare=False)

    def of(self, *roles: str) -> tuple[Dim, ...]:
        """The dims of the given roles, in order."""
        return tuple(dim for dim in self.dims if dim.role in roles)

    @property
    def weight_shape(self) -> Point:
        return tuple(dim.extent for dim in self.dims if dim.in_weight)

    @property
    def fan_in(self) -> int:
        """Products summed into one output."""
        return prod(dim.extent for dim in self.of("reduce"))

    @property
    def macs(self) -> int:
        return prod(dim.extent for dim in self.dims)

    def weight_indices(self, shape: Point) -> np.ndarray:
        """Row-major numbers, in the untransformed weight of ``shape``, of this contraction's dense weight. Those of the
        second version of the weights follow those of the first, and so on."""
        if self.origin is None:
            raise ValueError("this contraction was not derived from a nest, so its weights have no origin")
        versioned = len(self.origin.offset) > len(shape)
        return self.origin.flat((1, *shape) if versioned else shape)


@dataclass(frozen=True)
class OperatorForm:
    """All that an operator computes on one image. Contractions add up where they write the same output. ``completion``
    (first case that holds; none: the output itself) fills the outputs that no contraction writes; its expressions are
    over the output's axes without the batch, ``o0 o1 ...``. Where outputs are a learned projection, ``then`` is the
    form that makes them of this one's output.

    ``channel_axis`` is the axis of the channels in input and output. With ``two_inputs`` the weights are no parameters
    but elements of a second input, which has the batch too (`loopwright.operators.matmul`)."""

    input_shape: Point
    output_shape: Point
    contractions: tuple[Contraction, ...]
    completion: tuple[Case, ...] = ()
    then: OperatorForm | None = None
    channel_axis: int = field(default=0, repr=False)
    two_inputs: bool = field(default=False, repr=False)

    @property
    def stages(self) -> tuple[OperatorForm, ...]:
        """The forms that run one after the other, each with nothing after it."""
        return (self,) if self.then is None else (replace(self, then=None), *self.then.stages)

    @property
    def result_shape(self) -> Point:
        """The shape of what the last stage gives."""
        return self.stages[-1].output_shape

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image, all stages together."""
        return sum(contraction.macs for form in self.stages for contraction in form.contractions)

    @property
    def parameters(self) -> int:
        """Weights stored, all stages together; those that several contractions read are counted once."""
        return sum(form._own_parameters for form in self.stages if not form.two_inputs)

    @property
    def _own_parameters(self) -> int:
        origins = [contraction.origin for contraction in self.contractions]
        known = [origin for origin in origins if origin is not None]
        return (
            count_union(known) if len(known) == len(origins) else sum(prod(c.weight_shape) for c in self.contractions)
        )

    @property
    def weight_bounds(self) -> Point:
        """The smallest shape of an untransformed weight that holds all elements read."""
        origins = [contraction.origin for contraction in self.contractions if contraction.origin is not None]
        return tuple(max(ends) for ends in zip(*(origin.ends for origin in origins), strict=True))

    @property
    def key(self) -> str:
        """A hash of what is computed: equal operators have equal keys."""
        computed = replace(self, completion=(), then=None)
        if not self.two_inputs:  # which weights of the untransformed operator these were does not matter
            own = tuple(replace(contraction, origin=None) for contraction in self.contractions)
            computed = replace(computed, contractions=own)
        parts = [self._shared(), computed, self._sources(), self.then and self.then.key]
        return sha256(repr(parts).encode()).hexdigest()[:24]

    def _sources(self) -> list[tuple[Point, bytes]]:
        """For each axis, where outputs take their values from, as a table over the axes that matter; equal completions
        have equal tables, in whatever cases they are written."""
        grid = np.ix_(*(np.arange(extent) for extent in self.output_shape))
        axes = {f"o{k}": coordinates for k, coordinates in enumerate(grid)}
        sources = list(grid)
        for case in reversed(self.completion):
            holds = np.ones((1,) * len(grid), bool)
            for expression, bound in case.where:
                value = expression.evaluate(axes, np.minimum)
                holds = holds & (value >= 0) & (value < bound)
            given = [expression.evaluate(axes, np.minimum) for expression in case.source]
            sources = [np.where(holds, new, old) for new, old in zip(given, sources, strict=True)]
        tables = [_without_repeats(table) for table in sources]
        return [(table.shape, table.tobytes()) for table in tables]

    def _shared(self) -> list[bool]:
        """Which contractions share weights with one before (never the case for most)."""
        origins = [contraction.origin for contraction in self.contractions]
        return [
            origin is not None
            and any(o is not None and count_union([o, origin]) < o.size + origin.size for o in origins[:k])
            for k, origin in enumerate(origins)
        ]


def _without_repeats(table: np.ndarray) -> np.ndarray:
    """The table, reduced to one entry along every axis on which it does not depend."""
    for axis in range(table.ndim):
        first = table.take([0], axis)
        table = first if (table == first).all() else table
    return table


def operator_form(nest: LoopNest) -> OperatorForm:
    """The nest's operator on one image; the batch is dropped, for a network treats all images alike."""
    contractions = [_contraction(nest, lattice) for lattice in nest.lattices]
    contractions.sort(
        key=lambda contraction: (contraction.output_offset, contraction.input_offset, str(contraction.dims))
    )
    computation = nest.computation
    form = OperatorForm(
        _without_batch(nest, computation.input.shape),
        _without_batch(nest, computation.output.shape),
        tuple(contractions),
        _completion_without_batch(nest),
        channel_axis=computation.channel_axis - int(_has_batch_axis(nest)),
        two_inputs=computation.two_inputs,
    )
    return form if nest.projection is None else _projected(form, nest.projection)


def _projected(form: OperatorForm, projection: Projection) -> OperatorForm:
    """The form that gives the kept channels only, and the projection after it."""
    kept = _Kept(form.channel_axis, projection, form.output_shape)
    contractions = tuple(kept.contraction(contraction) for contraction in form.contractions)
    cases = [kept.case(case) for case in form.completion]
    completion = tuple(case for case in cases if case.where or case.source != kept.identity)
    return replace(
        form,
        output_shape=kept.shape,
        contractions=contractions,
        completion=completion,
        then=operator_form(projection.nest),
    )


@dataclass(frozen=True)
class _Kept:
    """Numbers the channels that a projection reads from 0 on; ``axis`` is theirs in an output of ``full`` shape."""

    axis: int
    projection: Projection
    full: Point

    @property
    def shape(self) -> Point:
        return (*self.full[: self.axis], self.projection.count, *self.full[self.axis + 1 :])

    @property
    def identity(self) -> tuple[Affine, ...]:
        return tuple(var(f"o{k}") if extent > 1 else Affine() for k, extent in enumerate(self.shape))

    def contraction(self, old: Contraction) -> Contraction:
        dims = tuple(replace(dim, output=self._numbered(dim.output, 0)) for dim in old.dims)
        return replace(old, dims=dims, output_offset=self._numbered(old.output_offset, self.projection.start))

    def case(self, old: Case) -> Case:
        channel = {f"o{self.axis}": var(f"o{self.axis}") * self.projection.step + self.projection.start}
        extents = {f"o{k}": extent for k, extent in enumerate(self.shape)}
        where = tuple((expression.substitute(channel).simplify(extents), bound) for expression, bound in old.where)
        source = [expression.substitute(channel).simplify(extents) for expression in old.source]
        number = (source[self.axis] - self.projection.start) // self.projection.step
        source[self.axis] = number.simplify(extents)
        return Case(where, tuple(source))

    def _numbered(self, point: Point, start: int) -> Point:
        number = (point[self.axis] - start) // self.projection.step
        return (*point[: self.axis], number, *point[self.axis + 1 :])


def _contraction(nest: LoopNest, lattice: Lattice) -> Contraction:
    computation = nest.computation
    accesses = (computation.input, computation.output)
    moves = [_dim(nest, dim) for dim in lattice.dims]
    order = sorted(moves, key=lambda pair: _ROLES.index(pair[0].role) * 1000 + _rank(pair[0]))
    start = dict(zip(nest.iterators, lattice.offset, strict=True)) | dict.fromkeys(_batch(nest), 0)
    input_offset, output_offset = (_without_batch(nest, tuple(e.evaluate(start) for e in a.index)) for a in accesses)
    weight_offset = tuple(expression.evaluate(start) for expression in nest.weight_index)
    origin = Lattice(weight_offset, tuple(LatticeDim(dim.extent, step) for dim, step in order if dim.in_weight))
    return Contraction(tuple(dim for dim, _ in order), input_offset, output_offset, origin)


_ROLES = ("pixel", "group", "out", "reduce")


def _dim(nest: LoopNest, dim: LatticeDim) -> tuple[Dim, Point]:
    """A direction's steps along input and output, and along the untransformed weight."""
    computation = nest.computation
    by = dict(zip(nest.iterators, dim.step, strict=True))
    read, written = (
        _without_batch(nest, linear_map(access.index, by)) for access in (computation.input, computation.output)
    )
    weight = linear_map(nest.weight_index, by)
    return Dim(dim.extent, read, written, any(weight)), weight


def _rank(dim: Dim) -> int:
    """The first axis that a dim moves (of the output where it moves that), so that rows come before columns."""
    step = dim.output if any(dim.output) else dim.input
    axis = next((k for k, by in enumerate(step) if by), len(step))
    return axis * 100 - min(abs(step[axis]) if axis < len(step) else 0, 99)


def _batch(nest: LoopNest) -> list[str]:
    return [it.name for it in nest.computation.iterators if it.role == "batch"]


def _has_batch_axis(nest: LoopNest) -> bool:
    return bool(nest.computation.output.index[0].variables & set(_batch(nest)))


def _without_batch(nest: LoopNest, axes: Point) -> Point:
    return axes[1:] if _has_batch_axis(nest) else axes


def _completion_without_batch(nest: LoopNest) -> tuple[Case, ...]:
    """The completion of the first image, over ``o0 o1 ...`` from the axis after the batch on; it is every image's."""
    if not _has_batch_axis(nest):
        return nest.completion
    axes = {f"o{axis}": var(f"o{axis - 1}") for axis in range(1, len(nest.computation.output.shape))}
    first = {"o0": Affine(), **axes}
    cases = []
    for case in nest.completion:
        where = [(expression.substitute(first), bound) for expression, bound in case.where]
        fixed = [0 <= expression.constant < bound for expression, bound in where if not expression.terms]
        if all(fixed):
            source = tuple(expression.substitute(first) for expression in case.source[1:])
            cases.append(Case(tuple(condition for condition in where if condition[0].terms), source))
    return tuple(cases)
