"""A nest in TIR, loop by loop as it stands: the same meaning as the interpreter's, compiled.

The program transformations of a sequence are all there, which makes this the lowering to check them with; fast code
comes from `loopwright.lowering.schedules`, which choose an order of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tvm import tirx
from tvm.tirx import ForKind

from loopwright.ir.loopnest import Access, Case, LoopNest, Statement
from loopwright.lowering.tir import Expression, inside, loop, sequence, value

KINDS = {"": ForKind.SERIAL, "unrolled": ForKind.UNROLLED}


def literal_primfunc(nest: LoopNest) -> tirx.PrimFunc:
    """``main(input, weight, output)``, all float32 of the shapes that the nest's accesses state; the weight is the
    untransformed operator's."""
    computation = nest.computation
    buffers = {
        access.tensor: tirx.decl_buffer(access.shape, "float32", access.tensor)
        for access in (computation.input, nest.weight, computation.output)
    }
    parameters = list(buffers.values())
    output, shape = buffers[computation.output.tensor], computation.output.shape
    written = tirx.decl_buffer(shape, "float32", "written") if nest.completion else output
    buffers[computation.output.tensor] = written
    body = [tirx.AllocBuffer(written)] if nest.completion else []
    body.append(_over(shape, lambda point: tirx.BufferStore(written, tirx.const(0.0, "float32"), point)))
    body += [_loops(nest, statement, buffers, {}) for statement in nest.statements]
    if nest.completion:
        body.append(_over(shape, lambda point: _complete(nest.completion, written, output, point)))
    function = tirx.PrimFunc(parameters, sequence(body))
    return function.with_attr({"global_symbol": "main"})


def _loops(
    nest: LoopNest, statement: Statement, buffers: Mapping[str, tirx.Buffer], point: dict[str, Expression]
) -> tirx.Stmt:
    if len(point) == len(statement.loops):
        return _instance(nest, statement, buffers, point)
    own = statement.loops[len(point)]
    variable = tirx.Var(own.name, "int32")
    inner = _loops(nest, statement, buffers, {**point, own.name: variable})
    return tirx.For(variable, 0, own.extent, KINDS[own.mark], inner)


def _instance(
    nest: LoopNest, statement: Statement, buffers: Mapping[str, tirx.Buffer], point: dict[str, Expression]
) -> tirx.Stmt:
    computation = statement.computation
    accesses = (computation.output, computation.input, nest.weight)
    at = {access.tensor: _element(access, statement, point) for access in accesses}
    output, read, weight = (buffers[access.tensor] for access in accesses)
    product = read[at[computation.input.tensor]] * weight[at[computation.weight.tensor]]
    written = at[computation.output.tensor]
    update = tirx.BufferStore(output, output[written] + product, written)
    bounds = list(zip(at[computation.input.tensor], computation.input.shape, strict=True))
    if any(isinstance(k, int) and not 0 <= k < extent for k, extent in bounds):
        return tirx.Evaluate(0)
    guards = [inside(k, extent) for k, extent in bounds if not isinstance(k, int)]
    return tirx.IfThenElse(tirx.all(*guards), update, None) if guards else update


def _element(access: Access, statement: Statement, point: Mapping[str, Expression]) -> list[Expression]:
    index = [expression.substitute(statement.coordinates).simplify(statement.extents) for expression in access.index]
    return [value(expression, point) for expression in index]


def _over(shape: Sequence[int], body: Callable[[list[Expression]], tirx.Stmt]) -> tirx.Stmt:
    """``body`` at every point of ``shape``."""

    def nested(point: tuple[Expression, ...]) -> tirx.Stmt:
        if len(point) == len(shape):
            return body(list(point))
        return loop(f"o{len(point)}", shape[len(point)], lambda variable: nested((*point, variable)))

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
