"""The choice of an operator for every layer as an integer programme, solved by HiGHS through scipy.

There is a variable of 0 or 1 for every layer and operator of its workload; of one layer's, one is 1. The sum of
latencies is minimised, under linear constraints. An untouched layer that another one's choice leaves less to compute
has a variable for each operator that it can be left with; it is 0 unless such a choice is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from math import inf

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from loopwright.processes import compiled_code_silent
from loopwright.search.pool import Pool
from loopwright.search.savings import Saving
from loopwright.search.space import Choice

Choices = Mapping[str, Choice]
Limits = Sequence[tuple[np.ndarray, float]]

GAP = 1e-3
"""How much slower than the optimum, relative to it, a solution may be."""
NODES = 5000
"""Branches after which the best solution so far is taken; a limit in time would give other solutions each time."""


@dataclass(frozen=True, eq=False)
class Variable:
    """That ``layer`` takes ``choice``, of which ``delivered`` is left to compute where one of ``readers`` (layers, keys
    of operators) is taken."""

    layer: str
    choice: Choice
    delivered: Choice
    readers: tuple[tuple[str, str], ...] = ()


class Programme:
    """The programme of a pool; what is `forbidden` stays so for all solutions to come."""

    def __init__(self, pool: Pool):
        self._space, self._layers = pool.space, list(pool.space.layers)
        found = [_variables(pool, layer) for layer in self._layers]
        self.variables = tuple(chain.from_iterable(found))
        self._starts = [0, *accumulate(map(len, found))]
        self._index: dict[tuple[str, str], list[int]] = {}
        for number, own in enumerate(self.variables):
            self._index.setdefault((own.layer, own.choice.key), []).append(number)
        self._latencies = np.array([pool.takes_ms(own.delivered) for own in self.variables])
        self._after = self._where_readers_are_taken()
        self._cuts = list[list[list[int]]]()

    def forbid(self, choices: Choices, layers: Iterable[str] | None = None) -> None:
        """No solution will have these operators on all of ``layers`` (by default: on all layers)."""
        chosen = (
            (layer, choices.get(layer) or self._space.original(layer))
            for layer in (self._layers if layers is None else layers)
        )
        self._cuts.append([self._index[layer, choice.key] for layer, choice in chosen])

    def fastest(self, least: Limits, most: Limits, below_ms: float = inf) -> dict[str, Choice] | None:
        """The layers that change in the fastest solution that is faster than ``below_ms``; None if there is none.
        Of each pair in ``least`` and ``most``, the values (one for every variable) of what is chosen sum up to at least
        or at most the number."""
        return self._solved(self._latencies, least, most, below_ms)

    def greatest(
        self, values: np.ndarray, least: Limits, most: Limits, below_ms: float = inf
    ) -> dict[str, Choice] | None:
        """As `fastest`, but of those solutions the one with the greatest sum of ``values``."""
        return self._solved(-values, least, most, below_ms)

    def near(self, choices: Choices, distance: int) -> tuple[np.ndarray, float]:
        """For ``least``: at most so many layers differ from ``choices``."""
        same = np.zeros(len(self.variables))
        for layer in self._layers:
            same[self._index[layer, (choices.get(layer) or self._space.original(layer)).key]] = 1.0
        return same, len(self._layers) - distance

    def _solved(self, objective: np.ndarray, least: Limits, most: Limits, below_ms: float) -> dict[str, Choice] | None:
        count = self._starts[-1]
        constraints = [LinearConstraint(self._one_each(), 1, 1)]
        constraints += [LinearConstraint(values[None], bound, inf) for values, bound in least]
        constraints += [LinearConstraint(values[None], -inf, bound) for values, bound in most]
        if below_ms < inf:
            constraints.append(LinearConstraint(self._latencies[None], -inf, below_ms))
        if self._after.shape[0]:
            constraints.append(LinearConstraint(self._after, -inf, 0))
        if self._cuts:
            cuts = _rows([{number: 1.0 for own in cut for number in own} for cut in self._cuts], count)
            constraints.append(LinearConstraint(cuts, -inf, [len(cut) - 1 for cut in self._cuts]))
        with compiled_code_silent():  # HiGHS reports some of its repairs there
            solved = milp(
                objective,
                integrality=np.ones(count),
                bounds=Bounds(0, 1),
                constraints=constraints,
                options={"mip_rel_gap": GAP, "node_limit": NODES},
            )
        return None if solved.x is None else self._solution(solved.x)

    def _one_each(self) -> csr_array:
        spans = zip(self._starts, self._starts[1:], strict=False)
        return _rows([dict.fromkeys(range(*span), 1.0) for span in spans], len(self.variables))

    def _where_readers_are_taken(self) -> csr_array:
        """At most zero: each variable that needs readers, less these."""
        rows = []
        for number, own in enumerate(self.variables):
            if own.readers:
                taken = (self._index[reader] for reader in own.readers)
                rows.append({number: 1.0, **dict.fromkeys(chain.from_iterable(taken), -1.0)})
        return _rows(rows, len(self.variables))

    def _solution(self, x: np.ndarray) -> dict[str, Choice]:
        found = {}
        for layer, start, end in zip(self._layers, self._starts, self._starts[1:], strict=False):
            chosen = self.variables[start + int(np.argmax(x[start:end]))].choice
            if chosen is not self._space.original(layer):
                found[layer] = chosen
        return found


def _variables(pool: Pool, layer: str) -> list[Variable]:
    """The untouched operator first."""
    original = pool.space.original(layer)
    readers: dict[str, list[Saving]] = {}
    for saving in pool.savings:
        if saving.layer == layer:
            readers.setdefault(saving.operator.key, []).append(saving)
    found = [Variable(layer, choice, choice) for choice in pool.space.choices[pool.space.layers[layer]]]
    left = (
        Variable(layer, original, own[0].operator, tuple((each.reader, each.taken) for each in own))
        for own in readers.values()
    )
    return [*found, *left]


def _rows(rows: Sequence[Mapping[int, float]], count: int) -> csr_array:
    """A matrix of so many columns; each row is given by what is not zero."""
    numbers = np.repeat(range(len(rows)), list(map(len, rows)))
    columns, values = ([own for row in rows for own in part(row)] for part in (Mapping.keys, Mapping.values))
    return csr_array((values, (numbers, columns)), (len(rows), count))
