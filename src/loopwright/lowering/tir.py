"""The few TIR constructors that the kernels are written with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod
from typing import Any

from tvm import tirx
from tvm.tirx import ForKind

from loopwright.ir.affine import Affine

Expression = Any
Body = Callable[[Any], tirx.Stmt]
Over = Callable[[str, Sequence[int], Callable[[tuple[Expression, ...]], tirx.Stmt]], tirx.Stmt]
"""Runs a body at all points of a box, on all threads of a machine."""

THREADS_OF_A_BLOCK = 128


def sequence(statements: Sequence[tirx.Stmt]) -> tirx.Stmt:
    """The statements one after the other; one that does nothing where there are none."""
    if not statements:
        return tirx.Evaluate(0)
    return statements[0] if len(statements) == 1 else tirx.SeqStmt(list(statements))


def loop(name: str, extent: int, body: Body, kind: ForKind = ForKind.SERIAL) -> tirx.Stmt:
    """``for name in range(extent): body(name)``; no loop at all where the extent is 1."""
    if extent == 1:
        return body(0)
    variable = tirx.Var(name, "int32")
    return tirx.For(variable, 0, extent, kind, body(variable))


def unrolled(name: str, start: int, stop: int, body: Body) -> tirx.Stmt:
    """``for name in range(start, stop)``, written out by the compiler."""
    variable = tirx.Var(name, "int32")
    return tirx.For(variable, 0, stop - start, ForKind.UNROLLED, body(variable + start))


def parallel(name: str, extents: Sequence[int], body: Callable[[tuple[Expression, ...]], tirx.Stmt]) -> tirx.Stmt:
    """One parallel loop over the fused ``extents``; ``body`` takes the coordinates."""
    return fused(name, extents, body, ForKind.PARALLEL)


def fused(
    name: str, extents: Sequence[int], body: Callable[[tuple[Expression, ...]], tirx.Stmt], kind: ForKind
) -> tirx.Stmt:
    """One loop over the fused ``extents``; ``body`` takes the coordinates."""
    return loop(name, prod(extents), lambda task: body(unflatten(task, extents)), kind)


def bound(name: str, extent: int, axis: str, body: Body) -> tirx.Stmt:
    """A loop whose iterations are the blocks or threads along an axis of a GPU (``blockIdx.x``)."""
    variable, thread = tirx.Var(name, "int32"), tirx.Var(axis, "int32")
    binding = tirx.IterVar(None, thread, tirx.IterVar.ThreadIndex, axis)
    return tirx.For(variable, 0, extent, ForKind.THREAD_BINDING, body(variable), binding)


def over_grid(name: str, extents: Sequence[int], body: Callable[[tuple[Expression, ...]], tirx.Stmt]) -> tirx.Stmt:
    """As `parallel`, on a GPU: one thread for each point."""
    total = prod(extents)
    threads = min(total, THREADS_OF_A_BLOCK)

    def point(number: Expression) -> tirx.Stmt:
        inside_ = body(unflatten(number, extents))
        return inside_ if total % threads == 0 else tirx.IfThenElse(number < total, inside_, None)

    def block(number: Expression) -> tirx.Stmt:
        return bound(name, threads, "threadIdx.x", lambda thread: point(number * threads + thread))

    return bound(f"{name}s", -(-total // threads), "blockIdx.x", block)


def unflatten(index: Expression, extents: Sequence[int]) -> tuple[Expression, ...]:
    """The coordinates of a row-major ``index``."""
    return tuple(_digits(index, extents))


def _digits(index: Expression, extents: Sequence[int]) -> Iterator[Expression]:
    inner = 1
    for extent in extents:
        inner *= extent
    for position, extent in enumerate(extents):
        inner //= extent
        digit = index // inner if inner > 1 else index
        yield digit if position == 0 else digit % extent if extent > 1 else 0


def value(expression: Affine, variables: Mapping[str, Expression]) -> Expression:
    """An affine expression over TIR variables."""
    return expression.evaluate(variables, minimum=tirx.min)


def inside(index: Expression, bound: int) -> Expression:
    """``0 <= index < bound``."""
    return tirx.all(index >= 0, index < bound)


def ramp(base: Expression, lanes: int) -> Expression:
    """The indices ``base, base + 1, ...``; the index itself for one lane."""
    return base if lanes == 1 else tirx.Ramp(base, 1, lanes)


def splat(scalar: Expression, lanes: int) -> Expression:
    """A value in every lane."""
    return scalar if lanes == 1 else tirx.Broadcast(scalar, lanes)


def zero(lanes: int) -> Expression:
    """0.0 in every lane."""
    return splat(tirx.const(0.0, "float32"), lanes)


def prefetch(place: tirx.BufferLoad) -> tirx.Stmt:
    """Asks for the cache line of ``place``, to be read soon and often."""
    read, all_levels, data = 0, 3, 1
    address = tirx.address_of(place)
    return tirx.Evaluate(tirx.call_llvm_intrin("void", "llvm.prefetch.p0", address, read, all_levels, data))
