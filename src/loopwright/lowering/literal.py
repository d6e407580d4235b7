"""A nest in TIR, loop by loop as it stands: the same meaning as the interpreter's, compiled.

The program and mapping transformations of a sequence are all there, which makes this the lowering to check them with;
fast code comes from `loopwright.lowering.schedules`, which choose an order of their own. All outputs are initialised
before the first statement: a legal nest may have it then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import prod

from tvm import tirx
from tvm.tirx import ForKind

from loopwright.ir.affine import Affine, var
from loopwright.ir.loopnest import Case, Loop, LoopNest, Projection, Statement
from loopwright.ir.marks import AXES, BLOCK_AXES, PARALLEL, THREAD_AXES, UNROLLED, VECTORIZED, VTHREAD
from loopwright.ir.tile import element_of, tile_of
from loopwright.lowering.tir import Expression, bound, inside, loop, sequence, unflatten, value

KINDS = {UNROLLED: ForKind.UNROLLED, VECTORIZED: ForKind.VECTORIZED, PARALLEL: ForKind.PARALLEL}
VIRTUAL_AXES = ("vthread.x", "vthread.y", "vthread.z")

Point = Mapping[str, Expression]


def literal_primfunc(nest: LoopNest, *, gpu: bool = False) -> tirx.PrimFunc:
    """``main(input, weight, output)``, all float32 of the shapes that the nest's accesses state; the weight is the
    untransformed operator's. A nest that ends in a projection takes its weight before the output.

    With ``gpu`` the bound loops are axes, each statement is a kernel, and parallel loops run one iteration after the
    other; without, bound ones do.
    """
    accesses = (nest.computation.input, nest.weight, nest.computation.output)
    read, weight, output = (tirx.decl_buffer(access.shape, "float32", access.tensor) for access in accesses)
    if nest.projection is None:
        return _function([read, weight, output], _stage(nest, read, weight, output, gpu))
    kept = tirx.decl_buffer(output.shape, "float32", "kept")
    projecting = nest.projection.nest
    learned = tirx.decl_buffer(projecting.weight.shape, "float32", projecting.weight.tensor)
    first = _stage(nest, read, weight, kept, gpu)
    second = _stage(projecting, kept, learned, output, gpu, nest.projection)
    return _function([read, weight, learned, output], [tirx.AllocBuffer(kept), *first, *second])


def _function(parameters: Sequence[tirx.Buffer], body: Sequence[tirx.Stmt]) -> tirx.PrimFunc:
    return tirx.PrimFunc(list(parameters), sequence(body)).with_attr({"global_symbol": "main"})


def _stage(
    nest: LoopNest,
    read: tirx.Buffer,
    weight: tirx.Buffer,
    output: tirx.Buffer,
    gpu: bool,
    projection: Projection | None = None,
) -> list[tirx.Stmt]:
    """The code of one nest over given buffers; as a ``projection`` it reads those channels that it keeps."""
    accesses = (nest.computation.input, nest.weight, nest.computation.output)
    shape = nest.computation.output.shape
    written = tirx.decl_buffer(shape, "float32", "written") if nest.completion else output
    body = [tirx.AllocBuffer(written)] if nest.completion else []
    body.append(_zeros(written, gpu))
    for statement in nest.statements:
        places = [element_of(statement, access) for access in accesses]
        if projection is not None:
            places[0] = _kept(places[0], nest.computation.channel_axis, projection)
        factored = statement.rfactored
        sums = tirx.decl_buffer((*(own.extent for own in factored), *shape), "float32", "partial")
        if factored:
            places[2] = (*(var(own.name) for own in factored), *places[2])
            body += [tirx.AllocBuffer(sums), _zeros(sums, gpu)]
        buffers = (read, weight, sums if factored else written)
        sources = [_Source(*pair, statement.extents) for pair in zip(buffers, places, strict=True)]
        body.append(_Code(nest, statement, gpu, *sources).kernel())
        if factored:
            body.append(_over(shape, partial(_combine, factored, sums, written), gpu))
    if nest.completion:
        body.append(_over(shape, lambda point: _complete(nest.completion, written, output, point), gpu))
    return body


def _zeros(buffer: tirx.Buffer, gpu: bool) -> tirx.Stmt:
    shape = [int(extent) for extent in buffer.shape]
    return _over(shape, lambda point: tirx.BufferStore(buffer, tirx.const(0.0, "float32"), point), gpu)


def _combine(
    factored: Sequence[Loop],
    sums: tirx.Buffer,
    output: tirx.Buffer,
    place: list[Expression],
    own: Sequence[Expression] = (),
) -> tirx.Stmt:
    """Adds the partial results at a ``place`` to the output, those of one iteration after the other."""
    if len(own) < len(factored):
        level = factored[len(own)]
        return loop(level.name, level.extent, lambda at: _combine(factored, sums, output, place, (*own, at)))
    return tirx.BufferStore(output, output[place] + sums[[*own, *place]], place)


def _kept(element: Sequence[Affine], axis: int, projection: Projection) -> tuple[Affine, ...]:
    """An element among the kept channels as one among all channels."""
    channel = element[axis] * projection.step + projection.start
    return (*element[:axis], channel, *element[axis + 1 :])


@dataclass(frozen=True)
class _Source:
    """The ``element`` of a buffer, over variables of the given extents; outside of the buffer there is zero."""

    buffer: tirx.Buffer
    element: tuple[Affine, ...]
    extents: Mapping[str, int]

    def at(self, point: Point) -> list[Expression]:
        return [value(expression, point) for expression in self.element]

    def read(self, point: Point) -> Expression:
        """The value at a point; indices are tested where their ranges don't tell."""
        guards = []
        for expression, extent in zip(self.element, map(int, self.buffer.shape), strict=True):
            low, high = expression.bounds(self.extents)
            if high < 0 or low >= extent:
                return tirx.const(0.0, "float32")
            if low < 0 or high >= extent:
                guards.append(inside(value(expression, point), extent))
        whole = self.buffer[self.at(point)]
        return tirx.if_then_else(tirx.all(*guards), whole, tirx.const(0.0, "float32")) if guards else whole


@dataclass(frozen=True)
class _Code:
    """The loops of a statement, and where its instances read and accumulate."""

    nest: LoopNest
    statement: Statement
    gpu: bool
    input: _Source
    weight: _Source
    output: _Source

    def kernel(self) -> tirx.Stmt:
        """All loops; on a GPU with an axis at least."""
        loops = self.loops({})
        if not self.gpu or any(own.mark in (*BLOCK_AXES, *THREAD_AXES) for own in self.statement.loops):
            return loops
        return bound("block", 1, "blockIdx.x", lambda _: loops)

    def loops(self, point: Point) -> tirx.Stmt:
        """The loops that ``point`` has no value for yet."""
        if len(point) == len(self.statement.loops):
            at = self.output.at(point)
            product = self.input.read(point) * self.weight.read(point)
            return tirx.BufferStore(self.output.buffer, self.output.buffer[at] + product, at)
        own = self.statement.loops[len(point)]
        axis = _axis(self.statement, own) if self.gpu else None
        if axis is not None:
            return bound(own.name, own.extent, axis, lambda at: self.inside(own, {**point, own.name: at}))
        kind = ForKind.SERIAL if self.gpu and own.mark == PARALLEL else KINDS.get(own.mark, ForKind.SERIAL)
        return loop(own.name, own.extent, lambda at: self.inside(own, {**point, own.name: at}), kind)

    def inside(self, own: Loop, point: Point) -> tirx.Stmt:
        """What is in a loop: the tiles that it prefetches, and the loops inside, which read them."""
        code, copies = self, []
        for access, name in ((self.nest.computation.input, "input"), (self.nest.weight, "weight")):
            if access.tensor in own.prefetched:
                tile, whole = tile_of(self.statement, access, own.name), getattr(self, name)
                copy = tirx.decl_buffer(tile.shape, "float32", f"{name}_tile", scope="local" if self.gpu else "global")
                places = {f"t{axis}": extent for axis, extent in enumerate(tile.shape)}
                element = tile.element([var(place) for place in places])
                source = _Source(whole.buffer, element, {**self.statement.extents, **places})
                copies += [tirx.AllocBuffer(copy), _copied(source, copy, point)]
                code = replace(code, **{name: replace(whole, buffer=copy, element=tile.place(whole.element))})
        return sequence([*copies, code.loops(point)])


def _axis(statement: Statement, own: Loop) -> str | None:
    """The axis that a loop is bound to, as TVM has it. TVM takes loops of one axis for one loop and has three axes of
    virtual threads; further ones run one after the other in their thread."""
    if own.mark != VTHREAD:
        return own.mark if own.mark in AXES else None
    virtual = [loop.name for loop in statement.loops if loop.mark == VTHREAD]
    return dict(zip(virtual, VIRTUAL_AXES, strict=False)).get(own.name)


def _copied(source: _Source, copy: tirx.Buffer, point: Point) -> tirx.Stmt:
    """Every element of ``copy``, at ``t0, t1, ...``, from the source."""

    def store(place: list[Expression]) -> tirx.Stmt:
        at = {f"t{axis}": coordinate for axis, coordinate in enumerate(place)}
        return tirx.BufferStore(copy, source.read({**point, **at}), place)

    return _over([int(extent) for extent in copy.shape], store)


def _over(shape: Sequence[int], body: Callable[[list[Expression]], tirx.Stmt], gpu: bool = False) -> tirx.Stmt:
    """``body`` at every point of ``shape``; on a GPU as many blocks."""

    def nested(point: tuple[Expression, ...]) -> tirx.Stmt:
        if len(point) == len(shape):
            return body(list(point))
        return loop(f"o{len(point)}", shape[len(point)], lambda variable: nested((*point, variable)))

    if gpu:
        return bound("place", prod(shape), "blockIdx.x", lambda place: body(list(unflatten(place, shape))))
    return nested(())


def _complete(cases: tuple[Case, ...], written: tirx.Buffer, output: tirx.Buffer, point: list[Expression]) -> tirx.Stmt:
    """The output at ``point``: one value that the cases choose (TVM loses branches of nested conditional stores), read
    from another buffer than is stored to (TVM tells LLVM that constant and variable indices of one do not meet)."""
    values = {f"o{axis}": coordinate for axis, coordinate in enumerate(point)}
    chosen: Expression = tirx.const(0.0, "float32")
    for case in reversed(cases):
        read = written[[value(expression, values) for expression in case.source]]
        guards = [inside(value(expression, values), bound) for expression, bound in case.where]
        chosen = tirx.if_then_else(tirx.all(*guards), read, chosen) if guards else read
    return tirx.BufferStore(output, chosen, point)
