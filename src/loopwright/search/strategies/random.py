"""The paper's search: random configurations of the network, each judged; there is nothing more to it (Section 6)."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from loopwright.legality.verdict import Verdict
from loopwright.search.candidate import Candidate
from loopwright.search.funnel import Funnel
from loopwright.search.space import Choice, SearchSpace

Check = Callable[[Mapping[str, Choice]], Verdict]


@dataclass(frozen=True)
class Accepted:
    """A candidate that every check let through, and the score it was accepted with."""

    candidate: Candidate
    fisher_potential: float


def search(
    space: SearchSpace,
    structure: Check,
    capacity: Check,
    rng: random.Random,
    configurations: int,
    funnel: Funnel,
    advance: Callable[[], None],
) -> list[Accepted]:
    """Draws and judges ``configurations`` configurations, in order; cheap checks come first."""
    accepted = []
    for _ in range(configurations):
        found = _judge(space, structure, capacity, space.draw(rng), funnel)
        if found is not None:
            accepted.append(found)
        advance()
    return accepted


def _judge(
    space: SearchSpace, structure: Check, capacity: Check, candidate: Candidate, funnel: Funnel
) -> Accepted | None:
    funnel.passed("drawn")
    choices = space.chosen(candidate)
    funnel.passed("valid")  # the space holds only sequences that apply, see `search.space.Drawn`
    if not funnel.judged("legal by structure", structure(choices)):
        return None
    verdict = capacity(choices)
    if not funnel.judged("legal by Fisher", verdict):
        return None
    return Accepted(candidate, verdict.scores["fisher"])
