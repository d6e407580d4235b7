"""The footprint of a transformed operator: which input positions each output position reads, over all channels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from loopwright.ir.contraction import Contraction, OperatorForm
from loopwright.models.footprint import Footprint, Size

SPACE = (1, 2)
"""The axes of a point (channel, row, column) that are positions."""


@lru_cache(maxsize=4096)
def footprint(form: OperatorForm) -> Footprint:
    """An output position reads what any of its channels reads; a completed output reads what its source reads."""
    computed = _united(form, [_pairs(form, contraction) for contraction in form.contractions])
    if not form.completion:
        return computed
    completed, source = _completed_positions(form)
    taken, inputs = computed.pairs()
    by_source = np.argsort(source, kind="stable")
    completed, source = completed[by_source], source[by_source]
    first, last = np.searchsorted(source, taken, "left"), np.searchsorted(source, taken, "right")
    spread = _ranges(first, last)
    return _united(form, [computed.pairs(), (completed[spread], np.repeat(inputs, last - first))])


def _united(form: OperatorForm, relations: Sequence[tuple[np.ndarray, np.ndarray]]) -> Footprint:
    outputs, inputs = (np.concatenate(part) for part in zip(*relations, strict=True))
    return Footprint.from_pairs(_size(form.input_shape), _size(form.output_shape), outputs, inputs)


def _pairs(form: OperatorForm, contraction: Contraction) -> tuple[np.ndarray, np.ndarray]:
    """Output and input positions of every instance of a contraction; instances that read outside are left out."""
    moving = [dim for dim in contraction.dims if any(dim.input[axis] or dim.output[axis] for axis in SPACE)]
    extents = [dim.extent for dim in moving]
    rows, columns = (_walk(contraction.input_offset[a], [dim.input[a] for dim in moving], extents) for a in SPACE)
    written = [_walk(contraction.output_offset[a], [dim.output[a] for dim in moving], extents) for a in SPACE]
    (height, width), output_width = _size(form.input_shape), form.output_shape[2]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    return (written[0] * output_width + written[1])[inside], (rows * width + columns)[inside]


def _completed_positions(form: OperatorForm) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the outputs that no contraction writes, and where they are taken from, where that differs."""
    unwritten = np.ones(form.output_shape, bool)
    for contraction in form.contractions:
        moving = [dim for dim in contraction.dims if any(dim.output)]
        extents = [dim.extent for dim in moving]
        written = (_walk(contraction.output_offset[a], [d.output[a] for d in moving], extents) for a in range(3))
        unwritten[tuple(written)] = False
    points = np.nonzero(unwritten)
    sources = _sources(form, points)
    width, positions = form.output_shape[2], form.output_shape[1] * form.output_shape[2]
    moves = np.unique((points[1] * width + points[2]) * positions + sources[0] * width + sources[1])
    completed, source = np.divmod(moves, positions)
    return completed[completed != source], source[completed != source]


def _sources(form: OperatorForm, points: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """Row and column from which each of ``points`` (channels, rows, columns) is taken: by the first case that holds."""
    values = {f"o{axis}": coordinates for axis, coordinates in enumerate(points)}
    chosen = tuple(points[axis].copy() for axis in SPACE)
    open_ = np.ones(len(points[0]), bool)
    for case in form.completion:
        holds = open_.copy()
        for expression, bound in case.where:
            value = np.asarray(expression.evaluate(values, np.minimum))
            holds &= (value >= 0) & (value < bound)
        for coordinates, axis in zip(chosen, SPACE, strict=True):
            moved = np.broadcast_to(case.source[axis].evaluate(values, np.minimum), holds.shape)
            coordinates[holds] = moved[holds]
        open_ &= ~holds
    return chosen


def _walk(offset: int, steps: Sequence[int], extents: Sequence[int]) -> np.ndarray:
    """``offset + sum_k d_k * steps[k]`` for all ``0 <= d_k < extents[k]``, the last dim moving fastest."""
    values = np.array([offset])
    for step, extent in zip(steps, extents, strict=True):
        values = (values[:, None] + np.arange(extent) * step).reshape(-1)
    return values


def _ranges(first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """All of ``range(first[0], last[0])``, ``range(first[1], last[1])``, ... one after the other."""
    counts = last - first
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)


def _size(shape: Sequence[int]) -> Size:
    return shape[1], shape[2]
