"""The rules that every nest obeys, checked after each step in tests; a breach is a bug: `InvalidNestError`."""

from __future__ import annotations

from math import prod

import numpy as np

from loopwright.errors import InvalidNestError
from loopwright.ir import polyhedral
from loopwright.ir.affine import Affine, var
from loopwright.ir.interpreter import completion_table
from loopwright.ir.lattice import count_union
from loopwright.ir.loopnest import LoopNest, Statement


def verify(nest: LoopNest) -> None:
    """Checks each statement's invariant, that no two statements share an instance, and the completion."""
    for statement in nest.statements:
        verify_statement(statement)
    for k, first in enumerate(nest.statements):
        for second in nest.statements[:k]:
            if not first.domain.is_disjoint(second.domain):
                raise InvalidNestError(f"{second.name} and {first.name} execute the same statement instance")
    verify_completion(nest)


def verify_completion(nest: LoopNest) -> None:
    """Every output takes the value of one that some statement writes: its own where it is written itself."""
    shape = nest.computation.output.shape
    if not nest.completion and count_union([statement.written for statement in nest.statements]) == prod(shape):
        return
    written = np.zeros(prod(shape), bool)
    for statement in nest.statements:
        written[statement.written.flat(shape)] = True
    source = completion_table(nest.completion, shape).ravel()
    wrong = ~written[source] | (written & (source != np.arange(source.size)))
    for element in np.flatnonzero(wrong):
        own, other = (list(map(int, np.unravel_index(k, shape))) for k in (element, source[element]))
        what = f"output{own}, which {'a' if written[element] else 'no'} statement writes"
        raise InvalidNestError(f"the completion is wrong: {what} takes the value of output{other}")


def verify_statement(statement: Statement) -> None:
    """Loops have names of their own; the schedule is a bijection onto the box of the loops; `index` is its inverse;
    `position` agrees with it on the domain; the lattice is the domain."""
    _require(len(statement.extents) == len(statement.loops), statement, "two of its loops have one name")
    points = [(f"l{k}", loop.extent) for k, loop in enumerate(statement.loops)]
    iterators = [(f"i{k}", extent) for k, extent in enumerate(statement.computation.extents.values())]
    loop_names = {loop.name: f"l{k}" for k, loop in enumerate(statement.loops)}
    iterator_names = {name: f"i{k}" for k, name in enumerate(statement.computation.names)}
    _require(
        polyhedral.is_bijection(statement.schedule, polyhedral.box(points)), statement, "its schedule is no bijection"
    )
    index = [polyhedral.renamed(statement.index[name], loop_names) for name in iterator_names]
    by_index = polyhedral.function(points, index).reverse()
    _require(polyhedral.equal(by_index, statement.schedule), statement, "its index expressions are not its schedule")
    position = [polyhedral.renamed(statement.position[name], iterator_names) for name in loop_names]
    by_position = polyhedral.function(iterators, position).intersect_domain(statement.domain)
    _require(polyhedral.equal(by_position, statement.schedule), statement, "its positions are not its schedule")
    _require(polyhedral.equal(_lattice_set(statement), statement.domain), statement, "its lattice is not its domain")


def _lattice_set(statement: Statement) -> polyhedral.Set:
    lattice = statement.lattice
    digits = [(f"d{k}", dim.extent) for k, dim in enumerate(lattice.dims)]
    points = [
        sum((var(f"d{k}") * dim.step[axis] for k, dim in enumerate(lattice.dims)), Affine((), offset))
        for axis, offset in enumerate(lattice.offset[:-1])
    ]
    return polyhedral.access([name for name, _ in digits], points).intersect_domain(polyhedral.box(digits)).range()


def _require(holds: bool, statement: Statement, what: str) -> None:
    if not holds:
        raise InvalidNestError(f"{statement.name}: {what}: {statement}")
