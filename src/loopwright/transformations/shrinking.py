"""Removing from a nest what nobody reads, with the same steps that make any other operator.

>>> from loopwright.operators import parse
>>> nest = parse("conv2d(co=8, ci=4, oh=6, ow=6, kh=3, kw=3)").nest()
>>> print(dead_removed(nest, np.arange(8) < 4))
bottleneck(co, 2)
>>> print(dead_removed(nest, np.arange(8) % 4 == 0))
bottleneck(co, 4, keep=stride)
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from loopwright.errors import NotApplicableError
from loopwright.ir.contraction import operator_form
from loopwright.ir.liveness import needed_outputs, outputs_of
from loopwright.ir.loopnest import LoopNest, Statement
from loopwright.transformations._base import divisors
from loopwright.transformations._sequence import Step, TransformationSequence
from loopwright.transformations.neural.bottleneck import KEEP, Bottleneck, default_keep
from loopwright.transformations.neural.group import restrictable


def dead_removed(nest: LoopNest, live: np.ndarray) -> TransformationSequence:
    """The steps after which ``nest`` computes less, but every ``live`` output channel (flags) as before.

    Of each statement as much is removed as `bottleneck` can remove without a needed output: all that is dead where the
    live outputs are a first, a middle or every B-th part of a loop's iterations, otherwise a part of it or nothing.
    """
    if live.all():
        return TransformationSequence()
    needed = needed_outputs(operator_form(nest), live)
    steps: list[Step] = []
    for number in range(len(nest.statements)):
        found = _step(nest, number, needed)
        while found is not None:
            step, nest = found
            steps.append(step)
            found = _step(nest, number, needed)
    return TransformationSequence(tuple(steps))


def _step(nest: LoopNest, number: int, needed: np.ndarray) -> tuple[Step, LoopNest] | None:
    """The step that removes most of a statement's dead instances and no other, and the nest after it."""
    statement = nest.statements[number]
    written = outputs_of(statement)
    kept = needed & written
    if not kept.any():
        return None
    for bottleneck in _bottlenecks(statement, int(written.sum()) // int(kept.sum())):
        step = Step(bottleneck, statement.name if len(nest.statements) > 1 else None)
        try:
            after = step.apply(nest)
        except NotApplicableError:
            continue
        if outputs_of(after.statements[number])[kept].all():
            return step, after
    return None


def _bottlenecks(statement: Statement, most: int) -> Iterator[Bottleneck]:
    """Those by at most ``most`` on loops that move the output's channels and no reduction, the largest first."""
    channels = statement.computation.channel_iterators
    loops = [
        loop
        for loop in statement.loops
        if restrictable(statement, loop)
        and statement.kind(loop.name) == "parallel"
        and _moves(statement, loop.name, channels)
    ]
    for factor in range(most, 1, -1):
        for loop in loops:
            if factor in divisors(loop.extent):
                default = default_keep(statement, loop.name)
                yield from (Bottleneck(loop.name, factor, None if keep == default else keep) for keep in KEEP)


def _moves(statement: Statement, loop: str, iterators: frozenset[str]) -> bool:
    return bool(statement.addresses(loop) & iterators)
