"""The path that takes every contraction: one scalar update an instance, added to a zeroed result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm import tirx

from loopwright.ir.contraction import Contraction
from loopwright.lowering.schedules.digits import Digit, Digits
from loopwright.lowering.schedules.packing import packed_vector
from loopwright.lowering.schedules.scope import Scope
from loopwright.lowering.schedules.vectors import Lanes
from loopwright.lowering.tir import Expression, Over, loop, parallel

ONE_LANE = (0,)


def whole_dims(contraction: Contraction) -> Digits:
    """Every dim as one digit, in the contraction's own order."""
    dims = enumerate(contraction.dims)
    return Digits(contraction, tuple(Digit(f"d{k}", "reduce", k, 1, dim.extent) for k, dim in dims))


def clear(result: Any, over: Over = parallel) -> tirx.Stmt:
    """``result = 0``."""
    images, blocks, rows, columns, block = (int(extent) for extent in result.shape)
    zero = tirx.const(0.0, "float32")

    def row(place: tuple[Expression, ...]) -> tirx.Stmt:
        def store(column: Expression, lane: Expression) -> tirx.Stmt:
            return tirx.BufferStore(result, zero, [*place, column, lane])

        return loop("column", columns, lambda column: loop("lane", block, lambda lane: store(column, lane)))

    return over("row", (images, blocks, rows), row)


def accumulate(digits: Digits, n: int, x: Any, weight: Any, result: Any, over: Over = parallel) -> tirx.Stmt:
    """``result += contraction(x, weight)``, parallel over the images only, since instances may share an output."""

    def nest(scope: Scope, inner: Sequence[Digit]) -> tirx.Stmt:
        if not inner:
            return _update(digits, scope, x, weight, result)
        digit, *rest = inner
        return loop(digit.name, digit.extent, lambda index: nest(scope.bind(digit, index), rest))

    return over("image", (n,), lambda at: nest(Scope(variables={"image": at[0]}), digits.digits))


def _update(digits: Digits, scope: Scope, x: Any, weight: Any, result: Any) -> tirx.Stmt:
    """One instance, if it reads inside of the input."""
    read, written = (Lanes(axes, ONE_LANE) for axes in (digits.input_axes, digits.output_axes))
    factor = tirx.BufferLoad(weight, [scope.value(packed_vector(digits)), 0])
    product = tirx.BufferLoad(x, list(read.place(scope, int(x.shape[4]), 0))) * factor
    place = list(written.place(scope, int(result.shape[4]), 0))
    update = tirx.BufferStore(result, tirx.BufferLoad(result, place) + product, place)
    checks = tuple(scope.check(read.axes[axis], int(x.shape[axis + 1])) for axis in (1, 2))
    if False in checks:
        return tirx.Evaluate(0)
    guards = [check for check in checks if check is not True]
    return tirx.IfThenElse(tirx.all(*guards), update, None) if guards else update
