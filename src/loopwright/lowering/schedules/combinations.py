"""Linear combinations of vectors: the transforms of minimal filtering, with what their rows have in common shared.

>>> import numpy as np
>>> program = share(np.array([[1, 1, 1, 0], [0, 1, -1, -1]]))
>>> program.shared.tolist()  # d1 + d2, d1 - d2
[[0, 1, 1, 0], [0, 1, -1, 0]]
>>> program.results.tolist()  # d0 + shared0, -d3 + shared1
[[1, 0, 0, 0, 1, 0], [0, 0, 0, -1, 0, 1]]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
from tvm import tirx

from loopwright.lowering.tir import Expression, ramp, splat


@dataclass(frozen=True)
class Vectors:
    """``count`` vectors of ``lanes`` values, which the compiler keeps in registers."""

    array: Any
    count: int
    lanes: int

    @classmethod
    def named(cls, name: str, count: int, lanes: int) -> Vectors:
        return cls(tirx.decl_buffer((count, lanes), "float32", name), count, lanes)

    @property
    def allocation(self) -> tirx.Stmt:
        return tirx.AllocBuffer(self.array)

    def __iter__(self) -> Iterator[Expression]:
        return (self.load(k) for k in range(self.count))

    def load(self, k: Expression) -> Expression:
        return tirx.BufferLoad(self.array, [k, ramp(0, self.lanes)])

    def store(self, k: Expression, value: Expression) -> tirx.Stmt:
        return tirx.BufferStore(self.array, value, [k, ramp(0, self.lanes)])


@dataclass(frozen=True, eq=False)
class Program:
    """``shared`` are combinations of the given values; ``results`` are combinations of the values and of these."""

    shared: np.ndarray
    results: np.ndarray


def share(matrix: np.ndarray) -> Program:
    """``matrix @ values`` in two steps: two columns, or two rows, that agree up to signs become a sum and a
    difference."""
    rows, columns = matrix.shape
    shared: list[np.ndarray] = []
    results = matrix
    for p, q in _pairs(matrix.T):
        unit = np.eye(columns, dtype=matrix.dtype)
        shared += [unit[p] + unit[q], unit[p] - unit[q]]
        same, opposite = _split(matrix[:, p], matrix[:, q])
        results = np.column_stack([results, same, opposite])
        results[:, [p, q]] = 0
    for r, s in _pairs(matrix):
        shared += list(_split(matrix[r], matrix[s]))
        results = np.column_stack([results, np.zeros((rows, 2), matrix.dtype)])
        results[[r, s]] = 0
        results[r, -2:], results[s, -2:] = (1, 1), (1, -1)
    return Program(np.array(shared, matrix.dtype).reshape(len(shared), columns), results)


def _pairs(lines: np.ndarray) -> list[tuple[int, int]]:
    """Lines that agree up to signs, some of which differ; each belongs to one pair at most."""
    found: list[tuple[int, int]] = []
    for a, b in combinations(range(len(lines)), 2):
        same, opposite = _split(lines[a], lines[b])
        alike = np.array_equal(abs(lines[a]), abs(lines[b])) and same.any() and opposite.any()
        if alike and not any({a, b} & set(pair) for pair in found):
            found.append((a, b))
    return found


def _split(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``a`` where ``b`` is the same, and ``a`` where ``b`` is its negative; elsewhere 0."""
    return np.where(a == b, a, 0), np.where((a == -b) & (a != 0), a, 0)


def combine(
    program: Program,
    values: Sequence[Expression],
    keep: Callable[[int, Expression], tirx.Stmt],
    name: str,
    lanes: int,
) -> Iterator[tirx.Stmt]:
    """Statements that ``keep`` every result of the program, given vectors of ``lanes``."""
    known = list(values)
    if len(program.shared):
        shared = Vectors.named(name, len(program.shared), lanes)
        yield shared.allocation
        yield from (shared.store(k, _sum(row, known, lanes)) for k, row in enumerate(program.shared))
        known += list(shared)
    yield from (keep(k, _sum(row, known, lanes)) for k, row in enumerate(program.results))


def combine_both(
    program: Program,
    values: Sequence[Sequence[Expression]],
    keep: Callable[[int, int, Expression], tirx.Stmt],
    lanes: int,
) -> Iterator[tirx.Stmt]:
    """Statements that ``keep`` every ``matrix @ values @ matrix.T``."""
    lines = [Vectors.named(f"line{i}", len(program.results), lanes) for i in range(len(values))]
    yield from (line.allocation for line in lines)
    for i, (row, line) in enumerate(zip(values, lines, strict=True)):
        read = Vectors.named(f"read{i}", len(row), lanes)
        yield read.allocation
        yield from (read.store(j, value) for j, value in enumerate(row))
        yield from combine(program, list(read), line.store, f"along_row{i}", lanes)
    for j in range(len(program.results)):
        column = [line.load(j) for line in lines]
        yield from combine(program, column, partial(_keep_in_column, keep, j), f"along_column{j}", lanes)


def _keep_in_column(keep: Callable[[int, int, Expression], tirx.Stmt], j: int, i: int, value: Expression) -> tirx.Stmt:
    return keep(i, j, value)


def _sum(coefficients: np.ndarray, values: Sequence[Expression], lanes: int) -> Expression:
    """Terms with coefficient 1 come first, so that all others are one addition or multiply-add each."""
    terms = sorted(((float(c), k) for k, c in enumerate(coefficients) if c), key=lambda term: term[0] != 1)
    (first, k), *others = terms
    total = values[k] if first == 1 else values[k] * splat(tirx.const(first, "float32"), lanes)
    for coefficient, k in others:
        if abs(coefficient) == 1:
            total = total + values[k] if coefficient == 1 else total - values[k]
        else:
            total = total + values[k] * splat(tirx.const(coefficient, "float32"), lanes)
    return total
