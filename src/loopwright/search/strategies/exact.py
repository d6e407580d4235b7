"""The best choice of operators, by integer programming over a model of what verdicts say.

Latencies of layers add up, so the fastest network under linear constraints is the solution of an integer programme
(`_programme`). What a check will say is not linear; a model of it is learnt from the verdicts of some random candidates
(`_surrogate`), and the programme solved under the model. Its solutions are judged, the model learns from the verdicts,
and so on, until nothing faster is found. A solution that loses the receptive field is not asked about: the layers that
lose it together are found (`_conflict`), and that combination is forbidden.

In each round, some solutions are those under the model's mean, each with another safety. Solutions are extreme, and a
model that knows only random candidates is too hopeful of them. So others are the networks of the greatest margin among
those that are faster than the best by a given share, and those that differ from the best in few layers (local
branching; Fischetti and Lodi, Mathematical Programming 2003), of which the model has only to say what the difference
makes: the search gets ahead step by step. One is a solution under a draw of what the model holds possible (Thompson
sampling; Thompson, Biometrika 1933). At the end some are asked about that lose less or more than the check allows, or
have far fewer parameters, for the sake of the front.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from loopwright.search.evaluation import Choices, Evaluation
from loopwright.search.strategies._base import BATCH, Strategy, drawn
from loopwright.search.strategies._conflict import conflict
from loopwright.search.strategies._programme import Limits, Programme
from loopwright.search.strategies._surrogate import Features, Surrogate

FIRST = 32
"""Random candidates that the model starts from."""
SAFETY = (0.0, 1.0, 2.0)
"""By how many standard deviations of the model's noise a solution keeps away from the other decision."""
REACHES = (0.85, 0.6)
"""Shares of the best network's latency within which the greatest margin is asked for; after each round without a faster
legal network their square roots, so that steps that are too long are followed by shorter ones."""
NEAR = (0.25, 0.1)
"""Shares of the layers in which networks near the best may differ from it; half of them after each round without a
faster legal network."""
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
            within = WORTHWHILE * before
            wanted = [_Wanted(model.mean, safety * model.noise, within) for safety in SAFETY]
            wanted += [_Wanted(model.mean, None, share**0.5**idle * before) for share in REACHES]
            wanted += [solver.near_best(model.mean, share * 0.5**idle, within) for share in NEAR]
            while len(wanted) < BATCH:
                wanted.append(_Wanted(model.drawn(normal.standard_normal(len(model.mean))), 0.0, within))
            asked = bool(solver.ask(wanted))
            idle = 0 if evaluation.best_ms < WORTHWHILE * before else idle + 1
        solver.ask_for_front()


@dataclass(frozen=True, eq=False)
class _Wanted:
    """A network faster than ``below_ms`` of which ``weights`` say that its margin is at least ``least``, the fastest;
    without ``least`` the one of the greatest margin. It has at most so many parameters, by default as the search, and
    keeps what ``near`` says (`Programme.near`)."""

    weights: np.ndarray
    least: float | None
    below_ms: float = inf
    most: float | None = None
    near: Limits = ()


class _Solver:
    """Solves the programme under weights of the model, and asks about the solutions."""

    def __init__(self, evaluation: Evaluation):
        self._evaluation, space = evaluation, evaluation.space
        self._features, self._programme = Features(space), Programme(evaluation.pool)
        variables = self._programme.variables
        self._parts = np.stack([self._features.part(own.layer, own.choice) for own in variables])
        self._parameters = np.array(
            [own.delivered.form.parameters - space.original(own.layer).form.parameters for own in variables]
        )
        for number in evaluation.margins:
            self._programme.forbid(evaluation.choices(number))

    def model(self) -> Surrogate:
        """What all verdicts so far say."""
        margins = self._evaluation.margins
        inputs = np.array([self._features.of(self._evaluation.choices(number)) for number in margins])
        return Surrogate.fit(self._features, inputs.reshape(-1, self._features.count), np.array(list(margins.values())))

    def near_best(self, weights: np.ndarray, share: float, below_ms: float) -> _Wanted:
        """The fastest network that differs from the best in so many of the layers. By how much the model is wrong about
        the best is taken to hold for its neighbours. The untouched network is the best before any other."""
        evaluation, missed = self._evaluation, 0.0
        best: Choices = {}
        if evaluation.accepted:
            number = evaluation.accepted[0]
            best = evaluation.choices(number)
            missed = float(weights @ self._features.of(best)) - evaluation.margins[number]
        distance = max(round(share * len(evaluation.space.layers)), 1)
        return _Wanted(weights, missed, below_ms, near=[self._programme.near(best, distance)])

    def ask(self, wanted: Sequence[_Wanted]) -> list[int]:
        """Asks about what is wanted, as far as there is such a network; gives the numbers of what was asked about."""
        found = []
        for own in wanted:
            if not self._evaluation.left:
                break
            choices = self._solution(own)
            if choices is None:
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
        self.ask([_Wanted(mean, margin) for margin in FRONT])
        self.ask([_Wanted(mean, 0.0, most=share * self._evaluation.size.original) for share in SMALLER])

    def _solution(self, wanted: _Wanted) -> Choices | None:
        evaluation, programme, margins = self._evaluation, self._programme, self._parts @ wanted.weights
        most = evaluation.size.most if wanted.most is None else wanted.most
        sizes = [(self._parameters, most - evaluation.size.original)]
        for _ in range(CONFLICTS):
            choices = None
            if wanted.least is not None:
                choices = programme.fastest(
                    [(margins, wanted.least - wanted.weights[0]), *wanted.near], sizes, wanted.below_ms
                )
            if choices is None and (wanted.least is None or not evaluation.accepted):
                choices = programme.greatest(margins, wanted.near, sizes, wanted.below_ms)
            if not choices or evaluation.keeps_structure(choices):
                return choices or None
            programme.forbid(choices, conflict(choices, evaluation.keeps_structure))
        return None
