"""Dependences through output elements, and witnesses where a nest breaks one.

Three things touch an output element. Its initialisation (the paper's S1) *writes* zero; it belongs to the statement and
runs with the element's first instance, the lexicographically least over the computation's iterators of those that the
nest still executes. Every instance *accumulates*. When all statements have run, the element is *read*: by the
completion of outputs that no statement writes, and by whatever comes after the nest.

Additions commute, so a *reduction* dependence, between two accumulations, may be reordered unless the user asks for
strict order; but it may not be raced, so a loop that carries one can't run in parallel, unless `rfactor` gives each of
its iterations partial results of its own. All others must hold.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from loopwright.ir import polyhedral
from loopwright.ir.affine import constant, var
from loopwright.ir.loopnest import LoopNest, Statement
from loopwright.ir.marks import CONCURRENT
from loopwright.ir.order import surely_in_order, surely_independent, surely_starts_first

Instance = tuple[tuple[str, int], ...]

KINDS = {
    ("write", "accumulate"): "flow",
    ("write", "read"): "flow",
    ("accumulate", "read"): "flow",
    ("read", "write"): "anti",
    ("read", "accumulate"): "anti",
    ("write", "write"): "output",
    ("accumulate", "write"): "output",
    ("accumulate", "accumulate"): "reduction",
}
"""The dependence from one kind of access to another of the same element; two reads have none."""


@dataclass(frozen=True)
class Violation:
    """A broken dependence: its kind, what broke it, and two instances as the witness (``source`` must come first)."""

    kind: str
    what: str
    source: Instance
    sink: Instance

    @property
    def instances(self) -> str:
        """The witness as text."""
        source, sink = (", ".join(f"{name}={value}" for name, value in pair) for pair in (self.source, self.sink))
        return f"from instance ({source}) to instance ({sink})"

    def __str__(self) -> str:
        return f"{self.kind} dependence {self.what}: {self.instances}"


def reversed_dependence(nest: LoopNest, *, strict: bool = False) -> Violation | None:
    """A dependence that the nest reverses against the untransformed order, or ``None``.

    Reductions may be reordered unless ``strict``, as when results must be bit-identical.
    """
    if strict and (cut := _factored_sum(nest)) is not None:
        return cut
    proved = surely_in_order(nest) if strict else surely_starts_first(nest)
    return None if proved else find_reversed(nest, strict=strict)


def find_reversed(nest: LoopNest, *, strict: bool = False) -> Violation | None:
    """As `reversed_dependence`, by isl alone."""
    before = polyhedral.earlier(1 + len(nest.computation.names))
    run = _run_times(nest)
    run_later = polyhedral.earlier(2 + _most_loops(nest)).reverse()
    reversal = run.apply_range(run_later).apply_range(run.reverse()).intersect(before)
    touched = _touched(nest)
    for (source, sink), kind in KINDS.items():
        if strict or kind != "reduction":
            pairs = touched[source].apply_range(touched[sink].reverse()).intersect(reversal)
            violation = _violation(nest, kind, "is reversed", pairs, start=1)
            if violation is not None:
                return violation
    return None


def carried_dependence(nest: LoopNest, statement: Statement, loop: str) -> Violation | None:
    """A dependence that ``loop`` carries (equal loops outside of it, different iterations of it), or ``None``: only
    then may its iterations run at the same time.

    Only reductions are looked for: the instance that initialises an element accumulates it too, so that a loop which
    carries the flow from it carries a reduction.
    """
    if statement.loop(loop).rfactored or surely_independent(statement, loop):
        return None
    return find_carried(nest, statement, loop)


def find_carried(nest: LoopNest, statement: Statement, loop: str) -> Violation | None:
    """As `carried_dependence`, by isl alone."""
    depth = list(statement.extents).index(loop)
    order = polyhedral.earlier(len(statement.loops), depth)
    schedule = statement.schedule
    writes = _writes(statement)
    same_output = writes.apply_range(writes.reverse())
    pairs = same_output.intersect(schedule.apply_range(order).apply_range(schedule.reverse()))
    return _violation(nest, "reduction", f"is carried by loop {loop!r} of {statement.name}", pairs)


def raced_dependence(nest: LoopNest) -> Violation | None:
    """A dependence carried by a loop whose mark lets its iterations run at the same time, or ``None``."""
    for statement in nest.statements:
        for loop in statement.loops:
            violation = carried_dependence(nest, statement, loop.name) if loop.mark in CONCURRENT else None
            if violation is not None:
                return replace(violation, what=f"{violation.what}, which is marked {loop.mark}")
    return None


def _factored_sum(nest: LoopNest) -> Violation | None:
    """A sum that is put together from partial ones, and so in another order; ``None`` where there is none."""
    for statement in nest.statements:
        for loop in statement.rfactored:
            violation = find_carried(nest, statement, loop.name)
            if violation is not None:
                return replace(violation, what=f"is cut by rfactor({loop.name}) of {statement.name}")
    return None


def first_instances(nest: LoopNest) -> polyhedral.Relation:
    """From every output element that is written to the instance that initialises it."""
    return polyhedral.least(polyhedral.union([_writes(statement) for statement in nest.statements]).reverse())


def _touched(nest: LoopNest) -> dict[str, polyhedral.Relation]:
    """The accesses of each kind, from times of the untransformed order to output elements. A time is a phase (0, or 1
    for what follows the statements) and an instance; an instance initialises before it accumulates."""
    names = polyhedral.names("i", len(nest.computation.names))
    at = polyhedral.access(names, [constant(0), *map(var, names)])
    writes = polyhedral.union([_writes(statement) for statement in nest.statements])
    shape = [(f"o{axis}", extent) for axis, extent in enumerate(nest.computation.output.shape)]
    read_at = [constant(1), *[constant(0)] * len(names)]
    return {
        "write": at.reverse().apply_range(first_instances(nest).reverse()),
        "accumulate": at.reverse().apply_range(writes),
        "read": polyhedral.function(shape, read_at).reverse(),
    }


def _run_times(nest: LoopNest) -> polyhedral.Relation:
    """From times of the untransformed order to times of the nest: the phase, the number of the statement, and the loop
    point, filled up with zeros to the depth of the deepest statement."""
    names, zero, depth = polyhedral.names("i", len(nest.computation.names)), [constant(0)], _most_loops(nest)
    at = polyhedral.access(names, [*zero, *map(var, names)])
    times = []
    for number, statement in enumerate(nest.statements):
        loops = polyhedral.names("l", len(statement.loops))
        point = [constant(0), constant(number), *map(var, loops), *zero * (depth - len(loops))]
        times.append(at.reverse().apply_range(statement.schedule).apply_range(polyhedral.access(loops, point)))
    return polyhedral.union([*times, _after_all(len(names)).reverse().apply_range(_after_all(1 + depth))])


def _after_all(rank: int) -> polyhedral.Relation:
    """From a single point to the time, of that many coordinates beside the phase, at which outputs are read."""
    return polyhedral.function([("point", 1)], [constant(1), *[constant(0)] * rank])


def _most_loops(nest: LoopNest) -> int:
    return max(len(statement.loops) for statement in nest.statements)


def _writes(statement: Statement) -> polyhedral.Relation:
    """From the statement's instances to the output elements that they accumulate."""
    computation = statement.computation
    iterators = polyhedral.names("i", len(computation.names))
    renaming = dict(zip(computation.names, iterators, strict=True))
    index = [polyhedral.renamed(expression, renaming) for expression in computation.output.index]
    return polyhedral.access(iterators, index).intersect_domain(statement.domain)


def _violation(nest: LoopNest, kind: str, what: str, pairs: polyhedral.Relation, start: int = 0) -> Violation | None:
    """A pair as a witness, without the first ``start`` coordinates; ``None`` where there is no pair."""
    sample = polyhedral.sample_pair(pairs)
    if sample is None:
        return None
    names = nest.computation.names
    source, sink = (tuple(zip(names, values[start:], strict=True)) for values in sample)
    return Violation(kind, what, source, sink)
