"""The best choice of operators, by integer programming over a model of what verdicts say.

Latencies of layers add up, so the fastest network under linear constraints is the solution of an integer programme
(`_programme`). What a check will say is not linear; a model of it is learnt from the verdicts of some random candidates
(`_surrogate`), and the programme solved under the model. Its solutions are judged, the model learns from the verdicts,
and so on, until nothing faster is found. A solution that loses the receptive field is not asked about: the layers that
lose it together are found (`_conflict`), and that combination is forbidden.

In each round, half of the solutions are those under the model's mean, each with another safety; the others under draws
of what the model holds possible (Thompson sampling; Thompson, Biometrika 1933). At the end some are asked about that
lose less or more than the check allows, or have far fewer parameters, for the sake of the front.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from math import inf

import numpy as np

from loopwright.search.evaluation import Choices, Evaluation
from loopwright.search.strategies._base import BATCH, Strategy, drawn
from loopwright.search.strategies._conflict import conflict
from loopwright.search.strategies._programme import Programme
from loopwright.search.strategies._surrogate import Features, Surrogate

FIRST = 32
"""Random candidates that the model starts from."""
SAFETY = (0.0, 0.5, 1.0, 2.0)
"""By how many standard deviations of the model's noise a solution keeps away from the other decision."""
PATIENCE = 5
"""Rounds without a faster legal network after which the search ends."""
WORTHWHILE = 0.995
"""A network is faster if it takes at most this share of the time."""
CONFLICTS = 40
"""Solutions that lose the receptive field, after which a round goes on without one."""
FRONT = (-2.0, -1.0, 0.5, 1.0, 2.0, 3.0)
"""Margins asked for at the end."""
SMALLER = (0.5, 0.25)
"""Shares of the original's parameters asked for at the end."""


class ExactSearch(Strategy):
    """Integer programming under a model that learns from the verdicts."""

    name = "exact"

    def search(self, evaluation: Evaluation, rng: random.Random, spread: bool) -> None:
        """See `Strategy`."""
        evaluation.judge(drawn(evaluation, rng, spread, min(FIRST, max(evaluation.left // 4, 1))))
        solver, normal = _Solver(evaluation), np.random.default_rng(rng.getrandbits(64))
        idle, asked = 0, True
        while asked and idle < PATIENCE and evaluation.left:
            before, model = evaluation.best_ms, solver.model()
            wanted = [(model.mean, safety * model.noise) for safety in SAFETY]
            wanted += [(model.drawn(normal.standard_normal(len(model.mean))), 0.0) for _ in range(BATCH - len(SAFETY))]
            asked = bool(solver.ask(wanted, WORTHWHILE * before))
            idle = 0 if evaluation.best_ms < WORTHWHILE * before else idle + 1
        solver.ask_for_front()


class _Solver:
    """Solves the programme under weights of the model, and asks about the solutions."""

    def __init__(self, evaluation: Evaluation):
        self._evaluation, space = evaluation, evaluation.space
        self._features, self._programme = Features(space), Programme(evaluation.pool)
        self._parts = np.stack([self._features.part(*own) for own in self._programme.variables])
        self._parameters = np.array(
            [own.form.parameters - space.original(layer).form.parameters for layer, own in self._programme.variables]
        )
        for number in evaluation.margins:
            self._programme.forbid(evaluation.choices(number))

    def model(self) -> Surrogate:
        """What all verdicts so far say."""
        margins = self._evaluation.margins
        inputs = np.array([self._features.of(self._evaluation.choices(number)) for number in margins])
        return Surrogate.fit(self._features, inputs.reshape(-1, self._features.count), np.array(list(margins.values())))

    def ask(
        self, wanted: Sequence[tuple[np.ndarray, float]], below_ms: float = inf, most: float | None = None
    ) -> list[int]:
        """Asks about the fastest networks of which weights, one after another, say that they have the margin at least,
        and at most so many parameters; gives the numbers of what was asked about."""
        found = []
        for weights, least in wanted:
            choices = self._solution(weights, least, below_ms, self._evaluation.size.most if most is None else most)
            if choices is None or not self._evaluation.left:
                continue
            self._programme.forbid(choices)
            number = self._evaluation.draw(choices)
            if number is not None:
                found.append(number)
        self._evaluation.judge(found)
        return found

    def ask_for_front(self) -> None:
        """Asks about networks for those who want to lose less, or more, or have less memory."""
        mean = self.model().mean
        self.ask([(mean, margin) for margin in FRONT])
        for share in SMALLER:
            self.ask([(mean, 0.0)], most=share * self._evaluation.size.original)

    def _solution(self, weights: np.ndarray, least: float, below_ms: float, most: float) -> Choices | None:
        evaluation, programme, margins = self._evaluation, self._programme, self._parts @ weights
        sizes = [(self._parameters, most - evaluation.size.original)]
        for _ in range(CONFLICTS):
            choices = programme.fastest([(margins, least - weights[0])], sizes, below_ms)
            if choices is None and not evaluation.accepted:
                choices = programme.greatest(margins, sizes, below_ms)
            if not choices or evaluation.keeps_structure(choices):
                return choices or None
            programme.forbid(choices, conflict(choices, evaluation.keeps_structure))
        return None
