"""The paper's search: random configurations of the network (Section 6), of which the fastest legal one is wanted."""

from __future__ import annotations

import random

from loopwright.search.evaluation import Evaluation
from loopwright.search.strategies._base import BATCH, Strategy, drawn


class RandomSearch(Strategy):
    """Draws all that the budget allows, and asks about the fastest first."""

    name = "random"

    def search(self, evaluation: Evaluation, rng: random.Random, spread: bool) -> None:
        """See `Strategy`."""
        evaluation.judge_fastest(drawn(evaluation, rng, spread, evaluation.left), BATCH)
