"""TVM's own schedule checks against our dependences: for random nests and every loop of every statement, TVM lets a
loop be parallel, vectorized or bound exactly where we call that legal.

TVM sees a statement as a block whose iterators are the loops' index expressions. It refuses all loops of a block, for
no dependence, where these are not quasi-affine and independent (after most restrictions); there it says so, and only
its acceptance would count. Binding is asked of a block axis: reductions over threads are another program for TVM. A
loop with partial results of its own is an axis of the block's output for TVM, and no part of a reduction.
"""

from __future__ import annotations

import random
from collections import Counter

import tvm
from tvm import s_tir, tirx
from tvm.tirx import ForKind

from loopwright.ir.dependences import carried_dependence
from loopwright.ir.loopnest import Access, Statement
from loopwright.lowering.tir import Expression, value
from tests.sampling import random_nest, random_operator

MARKS = {"parallel": (), "vectorize": (), "bind": ("blockIdx.x",)}
NOT_AFFINE = "violates condition #2 as a local reduction block"


def block_function(statement: Statement) -> tirx.PrimFunc:
    """The loops around one block that accumulates the statement's product; what is read is left out of the question
    (reads outside of the input, the part that rfactored loops have in a place), for only the output carries
    dependences."""
    computation = statement.computation
    loops = {loop.name: tirx.Var(loop.name, "int32") for loop in statement.loops}
    own = {name: tirx.Var(f"v_{name}", "int32") for name in computation.names}
    partial = {loop.name: tirx.Var(f"v_{loop.name}", "int32") for loop in statement.rfactored}
    kinds = (tirx.IterVar.CommReduce, tirx.IterVar.DataPar)
    iterators = [
        *(_iterator(statement.extents[name], axis, tirx.IterVar.DataPar) for name, axis in partial.items()),
        *(
            _iterator(extent, own[name], kinds[name in computation.output_iterators])
            for name, extent in computation.extents.items()
        ),
    ]
    weight = tirx.decl_buffer(computation.weight.shape, "float32", computation.weight.tensor)
    shape = (*(loop.extent for loop in statement.rfactored), *computation.output.shape)
    output = tirx.decl_buffer(shape, "float32", computation.output.tensor)
    place, read = [*partial.values(), *_at(computation.output, own)], _at(computation.weight, own)
    block = s_tir.SBlock(
        iterators,
        [_region(output, place), _region(weight, read)],
        [_region(output, place)],
        "block",
        tirx.BufferStore(output, output[place] + weight[read], place),
        tirx.BufferStore(output, tirx.const(0.0, "float32"), place),
    )
    summed = {**loops, **dict.fromkeys(partial, tirx.const(0, "int32"))}
    values = [
        *(loops[name] for name in partial),
        *(value(statement.index[name].simplify(statement.extents), summed) for name in computation.names),
    ]
    body: tirx.Stmt = s_tir.SBlockRealize([_integer(v) for v in values], True, block)
    for loop in reversed(statement.loops):
        body = tirx.For(loops[loop.name], 0, loop.extent, ForKind.SERIAL, body)
    root = s_tir.SBlockRealize([], True, s_tir.SBlock([], [], [], "root", body))
    return tirx.PrimFunc([weight, output], root).with_attr({"global_symbol": "main"})


def _iterator(extent: int, axis: tirx.Var, kind: int) -> tirx.IterVar:
    return tirx.IterVar(tvm.ir.Range(0, extent), axis, kind)


def _at(access: Access, own: dict[str, tirx.Var]) -> list[Expression]:
    return [_integer(value(expression, own)) for expression in access.index]


def _integer(expression: Expression) -> Expression:
    return tirx.const(expression, "int32") if isinstance(expression, int) else expression


def _region(buffer: tirx.Buffer, place: list[Expression]) -> tirx.BufferRegion:
    return tirx.BufferRegion(buffer, [tvm.ir.Range.from_min_extent(k, 1) for k in place])


def refusal(function: tirx.PrimFunc, loop: str, mark: str) -> str | None:
    """Why TVM refuses to mark the loop, or ``None``."""
    schedule = s_tir.Schedule(tvm.IRModule({"main": function}))
    loops = {schedule.get(found).loop_var.name: found for found in schedule.get_loops(schedule.get_sblock("block"))}
    try:
        getattr(schedule, mark)(loops[loop], *MARKS[mark])
    except s_tir.ScheduleError as error:
        return str(error)
    return None


def test_tvm_lets_loops_run_at_once_exactly_where_no_dependence_is_carried() -> None:
    seen: Counter[str] = Counter()
    for seed in range(80):
        rng = random.Random(seed)
        nest = random_nest(random_operator(rng), rng, 6)
        for statement in nest.statements:
            function = block_function(statement)
            for loop in statement.extents:
                legal = carried_dependence(nest, statement, loop) is None
                for mark in MARKS:
                    why = refusal(function, loop, mark)
                    verdict = "accepted" if why is None else "not affine" if NOT_AFFINE in why else "refused"
                    assert verdict != ("refused" if legal else "accepted"), (nest.steps, loop, mark, why)
                    seen[verdict] += 1
    assert seen["accepted"] > 500
    assert seen["refused"] > 200
