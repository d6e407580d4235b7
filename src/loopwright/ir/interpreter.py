"""The meaning of a nest: it is executed instance by instance, in the order of its loops. Slow and obvious."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from loopwright.ir.affine import Affine
from loopwright.ir.loopnest import Case, LoopNest, Statement


def run(nest: LoopNest, x: np.ndarray, weight: np.ndarray, projection: np.ndarray | None = None) -> np.ndarray:
    """The nest's output for an input ``x`` and the *original* operator's weight, of the shapes that ``input`` and
    ``nest.weight`` state; the dtype is theirs (integers give exact results). Reads outside of the input are zero.
    ``projection`` (output channels, kept channels) is the weight of the nest's projection, where it has one.

    Outputs start as garbage (`unset`). An element becomes zero just before its first instance, in the untransformed
    order, accumulates; so a nest that runs another instance first gives other values. Iterations of loops that are
    rfactored accumulate partial results, which start as zero and are added to the output when their statement has run.
    """
    computation = nest.computation
    output = unset(computation.output.shape, np.result_type(x, weight))
    first = first_instances(nest)
    for statement in nest.statements:
        partial: dict[tuple[int, ...], np.ndarray] = {}
        for point in points(statement):
            instance = at(statement, point)
            written = _element(computation.output.index, instance)
            if first[written] == _values(nest, instance):
                output[written] = 0
            own = tuple(point[loop.name] for loop in statement.rfactored)
            sums = partial.setdefault(own, np.zeros_like(output)) if own else output
            read = _element(computation.input.index, instance)
            if all(0 <= k < extent for k, extent in zip(read, x.shape, strict=True)):
                sums[written] += x[read] * weight[_element(nest.weight.index, instance)]
        for _, sums in sorted(partial.items()):
            output += sums
    completed = complete(nest, output)
    if nest.projection is None:
        return completed
    if projection is None:
        raise ValueError("the nest ends in a learned projection; pass its weight")
    return run(nest.projection.nest, kept(nest, completed), projection)


def kept(nest: LoopNest, output: np.ndarray) -> np.ndarray:
    """The channels of a completed output that the nest's projection reads."""
    read = nest.projection
    assert read is not None
    channels = read.start + read.step * np.arange(read.count)
    return output.take(channels, nest.computation.channel_axis)


def unset(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array of values that no computation gives: not-a-number, or half of the largest integer."""
    return np.full(shape, np.iinfo(dtype).max // 2 if np.issubdtype(dtype, np.integer) else np.nan, dtype)


def first_instances(nest: LoopNest) -> dict[tuple[int, ...], tuple[int, ...]]:
    """For every output element that is written, the values of the iterators at which it is initialised: the least of
    those at which the nest accumulates it, in the iterators' order."""
    first: dict[tuple[int, ...], tuple[int, ...]] = {}
    for statement in nest.statements:
        for instance in instances(statement):
            written, values = _element(nest.computation.output.index, instance), _values(nest, instance)
            first[written] = min(first.get(written, values), values)
    return first


def instances(statement: Statement) -> Iterator[dict[str, int]]:
    """The statement instances in the order in which they run, each as the values of the iterators and
    the version of the weights."""
    for point in points(statement):
        yield at(statement, point)


def points(statement: Statement) -> Iterator[dict[str, int]]:
    """The values of the loops, in order."""
    names = list(statement.extents)
    for values in product(*(range(extent) for extent in statement.extents.values())):
        yield dict(zip(names, values, strict=True))


def at(statement: Statement, point: dict[str, int]) -> dict[str, int]:
    """The instance that runs at a point of the loops."""
    return {iterator: expression.evaluate(point) for iterator, expression in statement.coordinates.items()}


def complete(nest: LoopNest, written: np.ndarray) -> np.ndarray:
    """Fills in the outputs that no statement writes."""
    completed: np.ndarray = np.reshape(written, -1)[completion_table(nest.completion, written.shape)]
    return completed


def completion_table(cases: tuple[Case, ...], shape: tuple[int, ...]) -> np.ndarray:
    """For every output element the row-major number of the element whose value it takes; shape as the output's."""
    grid = np.indices(shape)
    values = {f"o{axis}": grid[axis] for axis in range(len(shape))}
    table: np.ndarray = np.ravel_multi_index(tuple(grid), shape)
    pending = np.ones(shape, bool)
    for case in cases:
        holds = pending.copy()
        for condition, bound in case.where:
            value = condition.evaluate(values, np.minimum)
            holds &= (value >= 0) & (value < bound)
        source = np.stack([np.broadcast_to(e.evaluate(values, np.minimum), shape) for e in case.source])
        table[holds] = np.ravel_multi_index(tuple(source[:, holds]), shape)
        pending &= ~holds
    return table


def _values(nest: LoopNest, instance: dict[str, int]) -> tuple[int, ...]:
    return tuple(instance[name] for name in nest.computation.names)


def _element(index: tuple[Affine, ...], instance: dict[str, int]) -> tuple[int, ...]:
    return tuple(expression.evaluate(instance) for expression in index)
