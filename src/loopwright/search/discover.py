"""Discovery: every operator that short sequences of steps make of one operator, with a shortest sequence for each.

The enumeration is exhaustive within `Bounds`: sequences are continued step by step, the shortest first. Two sequences
that leave the same operator and the same loops in the same order, whatever their names, have the same continuations, so
only the first is continued; what else is left out, and why no operator is lost, `loopwright.search.expansion` says.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from multiprocessing import get_context
from typing import Self

from loopwright.ir.contraction import operator_form
from loopwright.ir.loopnest import LoopNest
from loopwright.operators import Operator
from loopwright.search.expansion import Bounds, Expansion, Found, Node, expand
from loopwright.search.progress import Progress, SilentProgress
from loopwright.transformations import TransformationSequence
from loopwright.transformations.recipes import applicable

BATCH = 4
"""How many sequences a process continues at a time."""


@dataclass(frozen=True)
class Discovery:
    """The distinct operators by key, and how many ``sequences`` were applied to find them, those included that led to a
    known operator or state. ``names`` are those of the recipes, by key, met or not."""

    operator: Operator
    bounds: Bounds
    operators: Mapping[str, Found]
    sequences: int
    names: Mapping[str, str]

    @cached_property
    def original(self) -> Found:
        """The untransformed operator."""
        return next(found for found in self.operators.values() if not found.sequence.steps)

    @cached_property
    def known(self) -> list[Found]:
        """Operators with a name, in the order of the names."""
        return [self.operators[key] for key in self.names if key in self.operators]

    @cached_property
    def new(self) -> list[Found]:
        """Operators without a name, those with few multiply-accumulates and parameters first."""
        new = [found for key, found in self.operators.items() if key not in self.names]
        return sorted(new, key=lambda found: (found.macs, found.parameters, found.order))


def discover(operator: Operator, bounds: Bounds, workers: int = 1, progress: Progress | None = None) -> Discovery:
    """Enumerates the operators within ``bounds`` on ``workers`` processes."""
    progress = progress or SilentProgress()
    total, states = Expansion(), _States()
    original = Found.of(operator_form(operator.nest()), TransformationSequence())
    total.keep(original)
    waiting = [Node(original.sequence, original.key)]
    with _Pool(operator, bounds, workers) as pool:
        for length in range(max(bounds.steps - 1, 1)):
            nodes = states.distinct(node for node in waiting if len(node.sequence) == length)
            progress.stage(f"{length} steps", len(nodes))
            for expansion, count in pool.expand(nodes):
                total.add(expansion)
                progress.advance(count)
            waiting, total.nodes = [*waiting, *total.nodes], []
            progress.note(f"{total.sequences:,} sequences, {len(total.found):,} distinct operators so far")
    return Discovery(operator, bounds, total.found, total.sequences, names(operator.nest()))


def names(nest: LoopNest) -> dict[str, str]:
    """The recipes that fit the untransformed nest, by the key of the operator that they give; the first name counts."""
    found = {operator_form(nest).key: "untransformed"}
    for recipe, factor, sequence in applicable(nest):
        found.setdefault(operator_form(sequence.apply(nest)).key, recipe.label(factor))
    return found


class _Pool:
    """Expands nodes on several processes, or on this one where one is enough. A context manager."""

    def __init__(self, operator: Operator, bounds: Bounds, workers: int):
        self._expand = partial(expand, str(operator), bounds)
        self._workers = workers
        self._executor: Executor | None = None

    def __enter__(self) -> Self:
        if self._workers > 1:
            self._executor = ProcessPoolExecutor(self._workers, get_context("spawn"), _end_silently_when_interrupted)
        return self

    def __exit__(self, *error: object) -> None:
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)

    def expand(self, nodes: Sequence[Node]) -> Iterator[tuple[Expansion, int]]:
        """The expansion of each batch of nodes, in order, with the size of the batch."""
        batches = [nodes[k : k + BATCH] for k in range(0, len(nodes), BATCH)]
        expansions = (self._executor or self).map(self._expand, batches)
        yield from zip(expansions, map(len, batches), strict=True)

    @staticmethod
    def map(expand: Callable[[Sequence[Node]], Expansion], batches: Iterable[Sequence[Node]]) -> Iterator[Expansion]:
        """As the executor's."""
        return map(expand, batches)


def _end_silently_when_interrupted() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class _States:
    """The states met so far."""

    def __init__(self) -> None:
        self._ordered: set[tuple[str, int, int]] = set()
        self._unordered: set[tuple[str, int, int]] = set()

    def distinct(self, nodes: Iterable[Node]) -> list[Node]:
        """The nodes whose state was not met before."""
        return [self._entered(node) for node in nodes if (node.state, node.neural, node.program) not in self._ordered]

    def _entered(self, node: Node) -> Node:
        unordered = (node.unordered, node.neural, node.program)
        closing = unordered not in self._unordered
        self._ordered.add((node.state, node.neural, node.program))
        self._unordered.add(unordered)
        return replace(node, closing=closing)
