"""Transforms in two steps give what the matrix gives, with fewer operations."""

from __future__ import annotations

import numpy as np
import pytest

from loopwright.lowering.schedules.combinations import share
from loopwright.lowering.schedules.winograd import FILTERINGS

MATRICES = {
    f"{kind} {size}": getattr(filtering, kind) for size, filtering in FILTERINGS.items() for kind in ("input", "output")
}


@pytest.mark.parametrize("name", MATRICES)
def test_two_steps_are_the_matrix(name: str) -> None:
    matrix = MATRICES[name]
    program = share(matrix)
    values = np.random.default_rng(0).standard_normal(matrix.shape[1])
    known = np.concatenate([values, program.shared @ values])
    np.testing.assert_allclose(program.results @ known, matrix @ values, rtol=1e-12)


@pytest.mark.parametrize("name", ["input 4", "output 4"])
def test_sharing_saves_operations(name: str) -> None:
    matrix = MATRICES[name]
    program = share(matrix)
    assert additions(program.shared) + additions(program.results) < additions(matrix)


def additions(matrix: np.ndarray) -> int:
    return int((matrix != 0).sum()) - len(matrix)
