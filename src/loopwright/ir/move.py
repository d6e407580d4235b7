"""The two verbs of which every transformation is made.

`move` carries statement instances to other loop points; `restrict` removes some. Both are given the same two things
and do the same with them: a **section**, which says where a point of the new loops lies among the old ones (old loops
as expressions over the new), and a **retraction**, which sends every point of the old loops to one of the new (new
loops as expressions over the old) and undoes the section. For a move the two are inverse to each other. For a
restriction the section reaches only what is kept, and section after retraction is the completion map: it sends every
dropped point to the kept one that stands in for it.

`cut` is a move that gives pieces of one statement to several; `untie` changes no instance but what weights it reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from math import prod

from loopwright.errors import InvalidNestError, NotApplicableError
from loopwright.ir import polyhedral
from loopwright.ir.affine import Affine, var
from loopwright.ir.lattice import Lattice, NotALatticeError
from loopwright.ir.loopnest import VERSION, Condition, Index, Loop, LoopNest, Statement
from loopwright.ir.marks import require_kept


def move(statement: Statement, loops: Sequence[Loop], section: Index, retraction: Index) -> Statement:
    """The statement over ``loops``; loops that keep their name and value need not be named in the two maps."""
    if prod(loop.extent for loop in loops) != statement.macs:
        raise InvalidNestError(f"a move from {statement.extents} to {loops} changes the number of instances")
    return _carry(statement, loops, section, retraction)


def restrict(statement: Statement, loops: Sequence[Loop], section: Index, retraction: Index) -> Statement:
    """The statement with only those instances that ``section`` reaches.

    Raises `NotApplicableError` when a loop that is cut down moves the batch, or both outputs and reductions.
    """
    for name in section:
        require_restrictable(statement, name)
    carried = _carry(statement, loops, section, retraction)
    return replace(carried, lattice=_lattice(carried))


def require_restrictable(statement: Statement, name: str, verb: str = "removes iterations of") -> None:
    """Raises `NotApplicableError`, saying what the step does to the loop, where no iteration of it may be removed."""
    _require_one_kind(statement, name, verb)
    if runs_over_batch(statement, name):
        raise NotApplicableError(
            f"loop {name!r} runs over the batch; a network must treat all images alike, so name a loop over channels, "
            f"rows, columns or kernel"
        )
    require_whole_batch(statement)


def require_whole_batch(statement: Statement) -> None:
    """Raises `NotApplicableError` for a piece that a `partition` of the batch has left."""
    if not statement.holds_whole_batch:
        raise NotApplicableError(
            f"{statement.name} holds a part of the batch; a network must treat all images alike, so take this step "
            f"before the batch is cut"
        )


def runs_over_batch(statement: Statement, name: str) -> bool:
    """Whether the loop moves the batch."""
    return any(statement.computation.role(iterator) == "batch" for iterator in statement.addresses(name))


def cut(statement: Statement, name: str, points: Sequence[int]) -> list[Statement]:
    """Statements for the intervals of loop ``name`` between ``points``, in order; each keeps the loops' names."""
    _require_one_kind(statement, name, "cuts")
    extent = statement.loop(name).extent
    ends = [0, *points, extent]
    return [_interval(statement, name, start, end) for start, end in pairwise(ends)]


def _interval(statement: Statement, name: str, start: int, end: int) -> Statement:
    loops = [replace(loop, extent=end - start) if loop.name == name else loop for loop in statement.loops]
    carried = _carry(statement, loops, {name: var(name) + start}, {name: var(name) - start})
    inside: Condition = (carried.position[name], end - start)
    return replace(carried, piece=(*statement.piece, inside), lattice=_lattice(carried))


def untie(statement: Statement, name: str, first: int) -> Statement:
    """The statement reading weights of its own in each iteration of loop ``name``, in versions numbered from ``first``.

    This expands the weight as an array is expanded (Feautrier, "Array expansion", 1988): nothing moves.
    """
    untied = replace(statement, version=_versions(statement, name) + first)
    return replace(untied, lattice=_lattice(untied))


def _versions(statement: Statement, name: str) -> Affine:
    """A number for each iteration of ``name`` under each version so far; where loops alone tell versions apart, those
    with larger steps count for more, in whatever order they were untied."""
    if not statement.version.is_linear:
        known = statement.version - statement.lattice.offset[-1]
        return known * statement.loop(name).extent + var(name)
    loops = [loop for loop in statement.loops if loop.name in {*statement.version.variables, name}]
    number, count = Affine(), 1
    for loop in sorted(loops, key=lambda loop: [index.coefficient(loop.name) for index in statement.index.values()]):
        number, count = number + var(loop.name) * count, count * loop.extent
    return number


def replace_statement(nest: LoopNest, old: Statement, new: Sequence[Statement], step: str) -> LoopNest:
    """The nest with ``new`` in place of ``old``, statements numbered afresh."""
    statements = [s for statement in nest.statements for s in (new if statement is old else (statement,))]
    named = tuple(replace(statement, name=f"s{k}") for k, statement in enumerate(statements))
    return replace(nest, statements=named, parent=nest, step=step)


def _carry(statement: Statement, loops: Sequence[Loop], section: Index, retraction: Index) -> Statement:
    extents = {loop.name: loop.extent for loop in loops}
    iterators = statement.computation.extents
    moved = {
        loop: expression.simplify(statement.extents).substitute(statement.position).simplify(iterators)
        for loop, expression in retraction.items()
    }
    position = {**statement.position, **moved}
    carried = replace(
        statement,
        loops=tuple(loops),
        index={it: _over(expression, section, extents) for it, expression in statement.index.items()},
        position={loop.name: position[loop.name] for loop in loops},
        version=_over(statement.version, section, extents),
        scheduled=cache(lambda: statement.schedule.apply_range(_relation(statement, loops, section))),
    )
    require_kept(statement, carried)
    return carried


def _over(expression: Affine, section: Index, extents: Mapping[str, int]) -> Affine:
    """The expression over the new loops."""
    return expression.substitute(section).simplify(extents) if expression.variables & section.keys() else expression


def _relation(statement: Statement, loops: Sequence[Loop], section: Mapping[str, Affine]) -> polyhedral.Relation:
    """From the old loop points to the new ones, as isl has it: the section, backwards."""
    new = {loop.name: f"l{k}" for k, loop in enumerate(loops)}
    bounds = [(new[loop.name], loop.extent) for loop in loops]
    old = [section.get(loop.name, var(loop.name)) for loop in statement.loops]
    values = [polyhedral.renamed(expression, new) for expression in old]
    return polyhedral.function(bounds, values).reverse()


def _lattice(statement: Statement) -> Lattice:
    try:
        return Lattice.of(statement.coordinates, statement.extents, (*statement.computation.names, VERSION))
    except NotALatticeError as error:
        raise NotApplicableError(
            f"what remains is no box of any loops, because a loop cuts across an iterator ({error}); "
            f"take this step before the fuse or split that made that loop"
        ) from error


def _require_one_kind(statement: Statement, name: str, verb: str) -> None:
    if statement.kind(name) == "mixed":
        outputs = sorted(statement.addresses(name) & statement.computation.output_iterators)
        reduced = sorted(statement.addresses(name) - statement.computation.output_iterators)
        raise NotApplicableError(
            f"the step {verb} loop {name!r}, which runs over outputs ({', '.join(outputs)}) and over a reduction "
            f"({', '.join(reduced)}) at once; split it where the two meet"
        )
