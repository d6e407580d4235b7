"""How the results of contractions are put together into an operator's output, by index tables.

A contraction's result is held compactly, over its pixel, group and out dims. Every output element takes its value from
one compact element (that of the output that completes it), or from none. Where the table that says so splits into one
table for each axis, three selections replace a gather over all elements.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np

from loopwright.ir.contraction import Contraction, Dim, OperatorForm, Point
from loopwright.ir.interpreter import completion_table

Axes = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Selection:
    """Compact dims, permuted and reshaped to ``shape`` (one axis for each of the output's), then selected along each
    axis; ``tables`` holds ``None`` where the axis stays as it is."""

    permutation: tuple[int, ...]
    shape: Point
    tables: tuple[np.ndarray | None, ...]


@dataclass(frozen=True)
class Gather:
    """Row-major compact numbers for every output element in order; -1 where the contraction adds nothing."""

    table: np.ndarray


def compact_dims(contraction: Contraction) -> tuple[Dim, ...]:
    """The dims of a contraction's compact result, in order."""
    return contraction.of("pixel", "group", "out")


def source_tables(form: OperatorForm) -> list[np.ndarray]:
    """For each contraction, the compact number that every output element (shape: the output's) takes, or -1."""
    completion = completion_table(form.completion, form.output_shape)
    tables = []
    for contraction in form.contractions:
        table = np.full(prod(form.output_shape), -1)
        written = output_numbers(contraction, form.output_shape).ravel()
        table[written] = np.arange(len(written))
        tables.append(table[completion])
    return tables


def output_numbers(contraction: Contraction, shape: Point) -> np.ndarray:
    """Row-major output numbers of the compact elements; one axis for each compact dim."""
    strides = [prod(shape[k + 1 :]) for k in range(len(shape))]
    numbers = np.asarray(np.dot(contraction.output_offset, strides))
    for dim in compact_dims(contraction):
        numbers = numbers[..., None] + np.arange(dim.extent) * int(np.dot(dim.output, strides))
    return numbers


def assemble(contraction: Contraction, table: np.ndarray) -> Selection | Gather:
    """The cheapest way to read ``table`` (compact numbers, shape as the output's)."""
    if (table >= 0).all():
        for axes in _assignments(contraction, table.ndim):
            selection = _select(contraction, table, axes)
            if selection is not None:
                return selection
    return Gather(table.ravel())


def _assignments(contraction: Contraction, rank: int) -> list[Axes]:
    """Ways of giving each compact dim to one of the output axes that it moves."""
    dims = compact_dims(contraction)
    choices = [[axis for axis in range(rank) if dim.output[axis]] for dim in dims]
    return [
        tuple(tuple(k for k, chosen in enumerate(choice) if chosen == axis) for axis in range(rank))
        for choice in product(*choices)
    ]


def _select(contraction: Contraction, table: np.ndarray, axes: Axes) -> Selection | None:
    dims = compact_dims(contraction)
    ordered = tuple(tuple(sorted(own, key=lambda k, axis=axis: -dims[k].output[axis])) for axis, own in enumerate(axes))
    extents = tuple(dim.extent for dim in dims)
    permutation = tuple(k for own in ordered for k in own)
    shape = tuple(prod(extents[k] for k in own) for own in ordered)
    places = np.arange(prod(extents)).reshape(extents).transpose(permutation).ravel() if extents else np.zeros(1, int)
    number = np.empty_like(places)
    number[places] = np.arange(len(places))
    coordinates = np.unravel_index(number[table], shape)
    tables = []
    for axis, coordinate in enumerate(coordinates):
        line = np.moveaxis(coordinate, axis, 0).reshape(table.shape[axis], -1)
        if (line != line[:, :1]).any():
            return None
        unchanged = np.array_equal(line[:, 0], np.arange(shape[axis]))
        tables.append(None if unchanged else line[:, 0].copy())
    return Selection(permutation, shape, tuple(tables))


