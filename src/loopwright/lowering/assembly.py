"""How the results of contractions are put together into an operator's output, by index tables.

A contraction's result is held compactly, over its pixel, group and out dims. Every output element takes its value from
one compact element (that of the output that completes it), or from none. Where results complement one another along the
channels and the table splits into one for each axis, three selections replace a gather over all elements.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np

from loopwright.ir.contraction import Contraction, Dim, OperatorForm
from loopwright.ir.interpreter import completion_table
from loopwright.ir.lattice import Point

Tables = tuple[np.ndarray | None, ...]


@dataclass(frozen=True, eq=False)
class Image:
    """A compact result as an image: dims permuted, then reshaped to ``shape`` (one axis for each of the output's)."""

    permutation: tuple[int, ...]
    shape: Point


@dataclass(frozen=True, eq=False)
class Assembly:
    """The output is selected axis by axis, by ``tables`` (``None``: the axis stays as it is), from the images of all
    contractions joined along the channels."""

    images: tuple[Image, ...]
    tables: Tables


def compact_dims(contraction: Contraction) -> tuple[Dim, ...]:
    """The dims of a contraction's compact result, in order."""
    return contraction.of("pixel", "group", "out")


def compact_size(contraction: Contraction) -> int:
    """Elements of the compact result of one image."""
    return prod(dim.extent for dim in compact_dims(contraction))


def assemble(form: OperatorForm) -> Assembly | None:
    """``None`` where results overlap or don't line up: then every element is gathered by `source_tables`."""
    parts = [
        _part(contraction, table) for contraction, table in zip(form.contractions, source_tables(form), strict=True)
    ]
    aligned = [part for part in parts if part is not None]
    if len(aligned) < len(parts) or not _complementary(aligned):
        return None
    channels = np.empty(form.output_shape[0], int)
    start = 0
    for part in aligned:
        channels[part.served] = start + part.tables[0]
        start += part.image.shape[0]
    joined_shape = (start, *aligned[0].image.shape[1:])
    tables = (channels, *aligned[0].tables[1:])
    return Assembly(tuple(part.image for part in aligned), tuple(map(_unless_unchanged, tables, joined_shape)))


def source_tables(form: OperatorForm) -> list[np.ndarray]:
    """For each contraction, the row-major compact number that every output element takes, or -1 (output's shape)."""
    completion = completion_table(form.completion, form.output_shape)
    tables = []
    for contraction in form.contractions:
        table = np.full(prod(form.output_shape), -1)
        written = _output_numbers(contraction, form.output_shape).ravel()
        table[written] = np.arange(len(written))
        tables.append(table[completion])
    return tables


def _output_numbers(contraction: Contraction, shape: Point) -> np.ndarray:
    """Row-major output numbers of the compact elements; one axis for each compact dim."""
    strides = [prod(shape[k + 1 :]) for k in range(len(shape))]
    numbers = np.asarray(np.dot(contraction.output_offset, strides))
    for dim in compact_dims(contraction):
        numbers = numbers[..., None] + np.arange(dim.extent) * int(np.dot(dim.output, strides))
    return numbers


@dataclass(frozen=True, eq=False)
class _Part:
    """What one contraction gives to the output: the channels it serves, and where in its image each axis is read."""

    served: np.ndarray
    image: Image
    tables: tuple[np.ndarray, ...]


def _part(contraction: Contraction, table: np.ndarray) -> _Part | None:
    """``None`` unless the contraction serves its channels at every place, through one table for each axis."""
    given = (table >= 0).reshape(table.shape[0], -1)
    served: np.ndarray = np.asarray(given.all(1))
    if not served.any() or not np.array_equal(served, given.any(1)):
        return None
    for axes in _assignments(contraction, table.ndim):
        image = _image(contraction, axes)
        tables = _separate(table[served], contraction, image)
        if tables is not None:
            return _Part(served, image, tables)
    return None


def _assignments(contraction: Contraction, rank: int) -> list[tuple[int, ...]]:
    """Ways of giving each compact dim to one of the output axes that it moves."""
    choices = [[axis for axis in range(rank) if dim.output[axis]] for dim in compact_dims(contraction)]
    return list(product(*choices))


def _image(contraction: Contraction, axes: Sequence[int]) -> Image:
    """The image in which compact dim ``k`` runs along axis ``axes[k]``, larger steps outside."""
    dims = compact_dims(contraction)
    rank = len(contraction.output_offset)
    order = sorted(range(len(dims)), key=lambda k: (axes[k], -dims[k].output[axes[k]]))
    shape = tuple(prod(dims[k].extent for k in order if axes[k] == axis) for axis in range(rank))
    return Image(tuple(order), shape)


def _separate(table: np.ndarray, contraction: Contraction, image: Image) -> tuple[np.ndarray, ...] | None:
    """``table`` as one table for each axis of the image, or ``None`` where an axis depends on another."""
    extents = [dim.extent for dim in compact_dims(contraction)]
    permuted = np.arange(prod(extents)).reshape(extents).transpose(image.permutation).ravel()
    place = np.empty_like(permuted)
    place[permuted] = np.arange(len(permuted))
    tables = []
    for axis, coordinate in enumerate(np.unravel_index(place[table], image.shape)):
        lines = np.moveaxis(coordinate, axis, 0).reshape(table.shape[axis], -1)
        if (lines != lines[:, :1]).any():
            return None
        tables.append(lines[:, 0].copy())
    return tuple(tables)


def _complementary(parts: Sequence[_Part]) -> bool:
    """Whether each channel is served by exactly one part, and all parts agree on places."""
    first = parts[0]
    served = np.sum([part.served for part in parts], axis=0)
    return bool((served == 1).all()) and all(
        part.image.shape[1:] == first.image.shape[1:] and all(map(np.array_equal, part.tables[1:], first.tables[1:]))
        for part in parts
    )


def _unless_unchanged(table: np.ndarray, size: int) -> np.ndarray | None:
    return None if np.array_equal(table, np.arange(size)) else table
