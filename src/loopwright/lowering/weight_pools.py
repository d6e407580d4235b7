"""Which weights an operator stores: each element once, even where several contractions read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from loopwright.ir.contraction import OperatorForm
from loopwright.ir.lattice import Point


@dataclass(frozen=True, eq=False)
class WeightPool:
    """Stored weights. ``elements`` are their row-major numbers in the untransformed weight, as
    `Contraction.weight_indices` has them: in the shape of the contraction's dense weight where one contraction reads
    the pool, flat where several share it. ``members`` gives each contraction that reads it the places of its dense
    weight in the pool, ``None`` for all in order."""

    elements: np.ndarray
    members: Mapping[int, np.ndarray | None]


def weight_pools(form: OperatorForm, weight_shape: Point) -> tuple[WeightPool, ...]:
    """The pools of an operator derived from one with a weight of ``weight_shape``; contractions whose weights overlap
    share one."""
    indices = [contraction.weight_indices(weight_shape) for contraction in form.contractions]
    size = 1 + max(int(own.max()) for own in indices)
    return tuple(_pool(group, indices, size) for group in _overlapping(indices, size))


def _pool(group: Sequence[int], indices: Sequence[np.ndarray], size: int) -> WeightPool:
    if len(group) == 1:
        return WeightPool(indices[group[0]], {group[0]: None})
    stored = _marked([indices[k] for k in group], size)
    place = np.cumsum(stored) - 1
    return WeightPool(np.flatnonzero(stored), {k: np.asarray(place[indices[k]]) for k in group})


def _overlapping(indices: Sequence[np.ndarray], size: int) -> list[list[int]]:
    """The contractions in groups, so that no two of different groups read the same weight."""
    groups: list[list[int]] = []
    for number, own in enumerate(indices):
        sharing = [group for group in groups if _marked([indices[k] for k in group], size)[own].any()]
        joined = [*(k for group in sharing for k in group), number]
        groups = [group for group in groups if group not in sharing] + [joined]
    return groups


def _marked(indices: Sequence[np.ndarray], size: int) -> np.ndarray:
    """True at every element that one of ``indices`` names."""
    marks = np.zeros(size, bool)
    for own in indices:
        marks[own] = True
    return marks
