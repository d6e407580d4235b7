"""What every strategy is."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from typing import ClassVar

from loopwright.search.candidate import Candidate
from loopwright.search.evaluation import Evaluation

BATCH = 8
"""Candidates that are judged together; the same for any number of workers, so that these don't change the result."""


class Strategy(ABC):
    """Draws candidates of a pool and asks about them, until the budget is spent or there is nothing better to ask. The
    same random numbers give the same candidates. ``spread`` says whether random configurations are to be drawn from
    bold to cautious, where a check lets through only what is near the original."""

    name: ClassVar[str]

    @abstractmethod
    def search(self, evaluation: Evaluation, rng: random.Random, spread: bool) -> None:
        """Leaves what it found in ``evaluation``."""


def drawn(evaluation: Evaluation, rng: random.Random, spread: bool, count: int) -> list[int]:
    """The numbers of those that structure and size let through of ``count`` different random configurations, or fewer
    where twice as many draws don't give them."""
    space = evaluation.space
    draw = space.draw_spread if spread else space.draw
    found, seen = [], {Candidate()}
    for _ in range(2 * count):
        if not evaluation.left or len(seen) > count:
            break
        candidate = draw(rng)
        if candidate in seen:
            continue
        seen.add(candidate)
        number = evaluation.draw(space.chosen(candidate))
        if number is not None:
            found.append(number)
    return found
