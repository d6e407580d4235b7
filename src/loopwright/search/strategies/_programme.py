"""The choice of an operator for every layer as an integer programme, solved by HiGHS through scipy.

There is a variable of 0 or 1 for every layer and operator of its workload; of one layer's, one is 1. The sum of
latencies is minimised, under linear constraints.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from math import inf

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from loopwright.processes import compiled_code_silent
from loopwright.search.pool import Pool
from loopwright.search.space import Choice

Choices = Mapping[str, Choice]
Limits = Sequence[tuple[np.ndarray, float]]

GAP = 1e-3
"""How much slower than the optimum, relative to it, a solution may be."""
NODES = 5000
"""Branches after which the best solution so far is taken; a limit in time would give other solutions each time."""


class Programme:
    """The programme of a pool; what is `forbidden` stays so for all solutions to come."""

    def __init__(self, pool: Pool):
        space = pool.space
        self._layers = list(space.layers)
        self._choices = [space.choices[space.layers[layer]] for layer in self._layers]
        self._starts = [0, *accumulate(map(len, self._choices))]
        self._index = {
            (layer, choice.key): start + k
            for layer, start, found in zip(self._layers, self._starts, self._choices, strict=False)
            for k, choice in enumerate(found)
        }
        self._latencies = np.array([pool.latencies_ms[choice.key] for _, choice in self.variables])
        self._space, self._cuts = space, list[list[int]]()

    @property
    def variables(self) -> list[tuple[str, Choice]]:
        """The layer and operator of each."""
        pairs = zip(self._layers, self._choices, strict=True)
        return [(layer, choice) for layer, found in pairs for choice in found]

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

    def greatest(self, values: np.ndarray, most: Limits, below_ms: float = inf) -> dict[str, Choice] | None:
        """As `fastest`, but of those solutions the one with the greatest sum of ``values``."""
        return self._solved(-values, [], most, below_ms)

    def _solved(self, objective: np.ndarray, least: Limits, most: Limits, below_ms: float) -> dict[str, Choice] | None:
        count = self._starts[-1]
        constraints = [LinearConstraint(self._one_each(), 1, 1)]
        constraints += [LinearConstraint(values[None], bound, inf) for values, bound in least]
        constraints += [LinearConstraint(values[None], -inf, bound) for values, bound in most]
        if below_ms < inf:
            constraints.append(LinearConstraint(self._latencies[None], -inf, below_ms))
        if self._cuts:
            rows = np.repeat(range(len(self._cuts)), list(map(len, self._cuts)))
            cuts = csr_array((np.ones(len(rows)), (rows, np.concatenate(self._cuts))), (len(self._cuts), count))
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
        rows = np.repeat(range(len(self._layers)), list(map(len, self._choices)))
        return csr_array((np.ones(len(rows)), (rows, np.arange(len(rows)))))

    def _solution(self, x: np.ndarray) -> dict[str, Choice]:
        found = {}
        for layer, start, choices in zip(self._layers, self._starts, self._choices, strict=False):
            chosen = int(np.argmax(x[start : start + len(choices)]))
            if chosen:
                found[layer] = choices[chosen]
        return found
