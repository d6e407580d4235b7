"""Dependences between statement instances, and witnesses where a nest breaks one.

The instances of a nest only ever accumulate, so that of the dependences between them (flow, anti and output, through
one output element) each is a *reduction* dependence. Additions commute: such a dependence may be reordered unless the
user asks for strict order, but it may not be raced, so a loop that carries one can't run in parallel. The
initialisation of an output (the paper's S1) runs before every statement, so no order of the loops reverses the flow
from it.
"""

from __future__ import annotations

from dataclasses import dataclass

from loopwright.ir import polyhedral
from loopwright.ir.loopnest import LoopNest, Statement

Instance = tuple[tuple[str, int], ...]


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
    if not strict:
        return None
    for later, sink in enumerate(nest.statements):
        for earlier, source in enumerate(nest.statements):
            pairs = _dependences(source, sink)
            if earlier == later:
                pairs = pairs.intersect(_run_order(sink).reverse())
            if earlier >= later:
                violation = _violation(nest, "reduction", "is reversed", pairs)
                if violation is not None:
                    return violation
    return None


def carried_dependence(nest: LoopNest, statement: Statement, loop: str) -> Violation | None:
    """A dependence that ``loop`` carries (equal loops outside of it, different iterations of it), or ``None``: only
    then may its iterations run at the same time."""
    depth = list(statement.extents).index(loop)
    order = polyhedral.earlier(len(statement.loops), depth)
    schedule = statement.schedule
    pairs = _same_output(statement, statement).intersect(schedule.apply_range(order).apply_range(schedule.reverse()))
    return _violation(nest, "reduction", f"is carried by loop {loop!r} of {statement.name}", pairs)


def _dependences(source: Statement, sink: Statement) -> polyhedral.Relation:
    """Pairs through one output element, the source before the sink in the untransformed order."""
    return _same_output(source, sink).intersect(polyhedral.earlier(len(source.computation.names)))


def _same_output(source: Statement, sink: Statement) -> polyhedral.Relation:
    computation = source.computation
    iterators = polyhedral.names("i", len(computation.names))
    renaming = dict(zip(computation.names, iterators, strict=True))
    index = [polyhedral.renamed(expression, renaming) for expression in computation.output.index]
    writes = polyhedral.access(iterators, index)
    pairs = writes.apply_range(writes.reverse())
    return pairs.intersect_domain(source.domain).intersect_range(sink.domain)


def _run_order(statement: Statement) -> polyhedral.Relation:
    """Pairs of the statement's instances of which the first runs first."""
    order = polyhedral.earlier(len(statement.loops))
    return statement.schedule.apply_range(order).apply_range(statement.schedule.reverse())


def _violation(nest: LoopNest, kind: str, what: str, pairs: polyhedral.Relation) -> Violation | None:
    sample = polyhedral.sample_pair(pairs)
    if sample is None:
        return None
    names = nest.computation.names
    source, sink = (tuple(zip(names, values, strict=True)) for values in sample)
    return Violation(kind, what, source, sink)
