"""Removing from a nest what nobody reads, with the same steps that make any other operator.

>>> from loopwright.operators import parse
>>> nest = parse("conv2d(co=8, ci=4, oh=6, ow=6, kh=3, kw=3)").nest()
>>> print(dead_removed(nest, np.arange(8) < 4))
bottleneck(co, 2)
>>> print(dead_removed(nest, np.arange(8) % 4 == 0))
bottleneck(co, 4, keep=stride)
>>> print(dead_removed(nest, np.arange(8) % 4 < 2))
split(co, 4) -> bottleneck(co_inner, 2)
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from loopwright.errors import NotApplicableError
from loopwright.ir.contraction import operator_form
from loopwright.ir.liveness import needed_outputs, outputs_of
from loopwright.ir.loopnest import Loop, LoopNest, Statement
from loopwright.transformations._base import Transformation, divisors
from loopwright.transformations._sequence import Step, TransformationSequence
from loopwright.transformations.neural.bottleneck import KEEP, Bottleneck, default_keep
from loopwright.transformations.neural.group import restrictable
from loopwright.transformations.program.split import Split


def dead_removed(nest: LoopNest, live: np.ndarray) -> TransformationSequence:
    """The steps after which ``nest`` computes less, but every ``live`` output channel as before.

    ``live`` has a flag for each position of the output's first axis after the batch, which must be its channels.

    Of each statement as much is removed as `bottleneck` can remove without a needed output: all that is dead where the
    live outputs are the first, the middle or every B-th of a loop's iterations, or of each run of them; otherwise a
    part of it or nothing. A statement keeps at least one channel. A learned projection reads all that is computed, so
    nothing is removed before one.
    """
    if live.all() or nest.projection is not None:
        return TransformationSequence()
    needed = needed_outputs(operator_form(nest), live)
    sequence = TransformationSequence()
    for number in range(len(nest.statements)):
        found = _steps(nest, number, needed)
        while found is not None:
            nest, sequence = found.apply(nest), sequence + found
            found = _steps(nest, number, needed)
    return sequence


def _steps(nest: LoopNest, number: int, needed: np.ndarray) -> TransformationSequence | None:
    """The steps that remove most of a statement's dead instances and no other; ``None`` if none do."""
    statement = nest.statements[number]
    written = outputs_of(statement)
    kept = needed & written
    for transformations in _removals(statement, int(written.sum()) // max(int(kept.sum()), 1)):
        on = statement.name if len(nest.statements) > 1 else None
        sequence = TransformationSequence(tuple(Step(transformation, on) for transformation in transformations))
        try:
            after = sequence.apply(nest)
        except NotApplicableError:
            continue
        if outputs_of(after.statements[number])[kept].all():
            return sequence
    return None


def _removals(statement: Statement, most: int) -> Iterator[tuple[Transformation, ...]]:
    """Bottlenecks by at most ``most`` that drop whole outputs, the largest first: of a loop, or of its inner part."""
    loops = [loop for loop in statement.loops if _moves_channels_only(statement, loop)]
    factors = {factor for loop in loops for factor in divisors(loop.extent) if factor <= most}
    for factor in sorted(factors, reverse=True):
        fitting = [loop for loop in loops if loop.extent % factor == 0]
        for loop in fitting:
            default = default_keep(statement, loop.name)
            yield from ((Bottleneck(loop.name, factor, None if keep == default else keep),) for keep in KEEP)
        for loop in fitting:
            yield from _inner_removals(loop, factor)


def _inner_removals(loop: Loop, factor: int) -> Iterator[tuple[Transformation, ...]]:
    """The first or the middle of each run of iterations is kept; every B-th of each is every B-th of all."""
    for run in divisors(loop.extent)[:-1]:
        if run % factor == 0 and run > factor:
            yield from (
                (Split(loop.name, run), Bottleneck(f"{loop.name}_inner", factor, keep)) for keep in (None, "centre")
            )


def _moves_channels_only(statement: Statement, loop: Loop) -> bool:
    """Whether each iteration of the loop makes outputs of its own, of channels of its own."""
    channels = statement.addresses(loop.name) & statement.computation.channel_iterators
    return bool(channels) and restrictable(statement, loop) and statement.kind(loop.name) == "parallel"
