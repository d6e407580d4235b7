"""A nest as text: one line a loop, then what its statement does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from loopwright.ir.affine import Affine, var
from loopwright.ir.loopnest import Access, Case, LoopNest, Projection, Statement
from loopwright.ir.marks import described


def print_nest(nest: LoopNest) -> str:
    """The statements in order, and where outputs that none of them writes come from."""
    lines = [line for statement in nest.statements for line in _statement_lines(nest, statement)]
    lines += [f"completed: {_case(nest, case)}" for case in nest.completion]
    if nest.projection is not None:
        lines += [f"projected: {_kept(nest, nest.projection)}", print_nest(nest.projection.nest)]
    return "\n".join(lines)


def _kept(nest: LoopNest, projection: Projection) -> str:
    channel = var("ci") * projection.step + projection.start
    places = [f"o{k}" for k in range(len(nest.computation.output.shape))]
    source = list(places)
    source[nest.computation.channel_axis] = str(channel)
    places[nest.computation.channel_axis] = "ci"
    return f"kept[{', '.join(places)}] = output[{', '.join(source)}]"


def _statement_lines(nest: LoopNest, statement: Statement) -> Iterator[str]:
    for depth, loop in enumerate(statement.loops):
        kind = statement.kind(loop.name)
        notes = [note for note in (described(loop), kind if kind != "parallel" else "") if note]
        comment = f"  # {', '.join(notes)}" if notes else ""
        yield f"{'  ' * depth}for {loop.name} in {loop.extent}:{comment}"
    computation = statement.computation
    read, weight = (_element(own.tensor, _places(own, statement)) for own in (computation.input, nest.weight))
    factored, places = [loop.name for loop in statement.rfactored], _places(computation.output, statement)
    written = _element("partial", [*factored, *places]) if factored else _element(computation.output.tensor, places)
    yield f"{'  ' * len(statement.loops)}{statement.name}: {written} += {read} * {weight}"
    if factored:
        yield f"combined: {_combined(nest, statement)}"


def _combined(nest: LoopNest, statement: Statement) -> str:
    """What adds up the partial results of a statement when it has run."""
    output = nest.computation.output
    places = [f"o{k}" for k in range(len(output.index))]
    partial = _element("partial", [*(loop.name for loop in statement.rfactored), *places])
    ranges = ", ".join(f"{loop.name} in {loop.extent}" for loop in statement.rfactored)
    return f"{_element(output.tensor, places)} += {partial} for {ranges}"


def _places(access: Access, statement: Statement) -> list[str]:
    index = (expression.substitute(statement.coordinates).simplify(statement.extents) for expression in access.index)
    return list(map(str, index))


def _element(tensor: str, places: Sequence[str]) -> str:
    return f"{tensor}[{', '.join(places)}]"


def _case(nest: LoopNest, case: Case) -> str:
    rank = len(nest.computation.output.index)
    conditions = [_condition(expression, bound) for expression, bound in case.where]
    where = f" where {' and '.join(conditions)}" if conditions else ""
    return f"output[{', '.join(f'o{k}' for k in range(rank))}] = output[{', '.join(map(str, case.source))}]{where}"


def _condition(expression: Affine, bound: int) -> str:
    return f"{expression} = 0" if bound == 1 else f"0 <= {expression} < {bound}"
