"""Which outputs each instance's result goes to, once the completion is turned around.

Where every output has one writer and the instances of a contraction fill equally many outputs at places that are affine
in the dims, a kernel stores its results straight to all of them, and no second stage is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from loopwright.ir.contraction import Contraction, Dim, OperatorForm
from loopwright.ir.lattice import Point
from loopwright.lowering.schedules.digits import is_reduction

COPIES_AT_MOST = 16
NOBODY = -1


@dataclass(frozen=True)
class Placement:
    """A place of a result: ``offset + sum(index of dim k * steps[k])`` over (channel, row, column)."""

    offset: Point
    steps: tuple[Point, ...]


def own_placement(contraction: Contraction) -> Placement:
    """Where the contraction itself writes."""
    return Placement(contraction.output_offset, tuple(dim.output for dim in contraction.dims))


def is_injective(form: OperatorForm, contraction: Contraction) -> bool:
    """True when no two results of the contraction go to the same output."""
    written = written_outputs(form, contraction)
    return _distinct(form, written) == written.size


def covers_output(form: OperatorForm, contraction: Contraction) -> bool:
    """True when the contraction writes every output."""
    return _distinct(form, written_outputs(form, contraction)) == prod(form.output_shape)


def _distinct(form: OperatorForm, outputs: np.ndarray) -> int:
    """How many different outputs are among these."""
    among = np.zeros(prod(form.output_shape), dtype=bool)
    among[outputs] = True
    return int(among.sum())


def placements(form: OperatorForm) -> tuple[tuple[Placement, ...], ...] | None:
    """All places of each contraction's results; ``None`` where results meet, miss an output, or are not affine."""
    written = [written_outputs(form, contraction) for contraction in form.contractions]
    writer = np.full(prod(form.output_shape), NOBODY)
    every = np.concatenate(written) if written else np.zeros(0, dtype=int)
    writer[every] = np.arange(every.size)
    source = writer[completion_sources(form)]
    if _distinct(form, every) != every.size or (source == NOBODY).any():
        return None
    bounds = np.cumsum([0, *(outputs.size for outputs in written)])
    parts = [_fill(form, k, source, *bounds[k : k + 2]) for k in range(len(written))]
    return None if any(part is None for part in parts) else tuple(part for part in parts if part is not None)


def written_outputs(form: OperatorForm, contraction: Contraction) -> np.ndarray:
    """The flat number of the output of every point of the dims that are no reduction, in row-major order."""
    shape = [1 if is_reduction(dim) else dim.extent for dim in contraction.dims]
    points = np.indices(shape).reshape(len(shape), prod(shape))
    steps = np.array([dim.output for dim in contraction.dims], dtype=int).reshape(len(shape), 3)
    places = points.T @ steps + np.array(contraction.output_offset)
    return np.asarray(np.ravel_multi_index(tuple(places.T), form.output_shape))


def completion_sources(form: OperatorForm) -> np.ndarray:
    """For every output the flat number of the output whose value it takes."""
    axes = dict(zip(("o0", "o1", "o2"), np.indices(form.output_shape), strict=True))
    sources = np.arange(prod(form.output_shape)).reshape(form.output_shape)
    decided = np.zeros(form.output_shape, dtype=bool)
    for case in form.completion:
        holds = ~decided
        for expression, bound in case.where:
            tested = expression.evaluate(axes, np.minimum)
            holds = holds & (tested >= 0) & (tested < bound)
        place = [np.broadcast_to(e.evaluate(axes, np.minimum), form.output_shape)[holds] for e in case.source]
        sources[holds] = np.ravel_multi_index(tuple(place), form.output_shape)
        decided |= holds
    return sources.reshape(-1)


def _fill(form: OperatorForm, k: int, source: np.ndarray, start: int, stop: int) -> tuple[Placement, ...] | None:
    """The placements of contraction ``k``, whose results are numbered ``start .. stop`` in ``source``."""
    outputs = np.flatnonzero((source >= start) & (source < stop))
    copies, rest = divmod(outputs.size, int(stop - start))
    ordered = outputs[np.argsort(source[outputs], kind="stable")]
    if (
        rest
        or copies > COPIES_AT_MOST
        or (np.bincount(source[outputs] - start, minlength=stop - start) != copies).any()
    ):
        return None
    targets = ordered.reshape(-1, copies)
    fitted = [_affine(form, form.contractions[k], targets[:, copy]) for copy in range(copies)]
    return None if any(placement is None for placement in fitted) else tuple(p for p in fitted if p is not None)


def _leaves_channels(dim: Dim, step: np.ndarray) -> bool:
    """Whether a dim that moves channels alone, and so may run over lanes, would move rows or columns in this place."""
    return bool(dim.output[0]) and not any(dim.output[1:]) and bool(np.any(step[1:]))


def _affine(form: OperatorForm, contraction: Contraction, outputs: np.ndarray) -> Placement | None:
    """The affine map from dims to places that ``outputs`` (row-major over the dims) follows, if one does."""
    shape = [1 if is_reduction(dim) else dim.extent for dim in contraction.dims]
    places = np.stack(np.unravel_index(outputs, form.output_shape), axis=-1)
    strides = [prod(shape[k + 1 :]) for k in range(len(shape))]
    steps = [
        places[stride] - places[0] if extent > 1 else places[0] * 0
        for stride, extent in zip(strides, shape, strict=True)
    ]
    points = np.indices(shape).reshape(len(shape), prod(shape))
    fitted = points.T @ np.array(steps, dtype=int).reshape(len(shape), 3) + places[0]
    if (fitted != places).any() or any(map(_leaves_channels, contraction.dims, steps)):
        return None
    return Placement(tuple(map(int, places[0])), tuple(tuple(map(int, step)) for step in steps))
