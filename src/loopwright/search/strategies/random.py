"""The paper's search: random configurations of the network, each judged; there is nothing more to it (Section 6)."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from loopwright.legality.verdict import Verdict
from loopwright.search.candidate import Candidate
from loopwright.search.funnel import Funnel
from loopwright.search.space import Choice, SearchSpace

Choices = Mapping[str, Choice]


@dataclass(frozen=True)
class Accepted:
    """A candidate that every check let through, and the score it was accepted with."""

    candidate: Candidate
    fisher_potential: float


def search(
    space: SearchSpace,
    structure: Callable[[Choices], Verdict],
    capacities: Callable[[Iterable[Choices]], Iterator[Verdict]],
    rng: random.Random,
    configurations: int,
    funnel: Funnel,
    advance: Callable[[], None],
) -> list[Accepted]:
    """Draws and judges ``configurations`` configurations, in order. What ``structure`` lets through goes to
    ``capacities``, which may draw some of it ahead of its verdicts."""
    pending: deque[Candidate] = deque()

    def legal_by_structure() -> Iterator[Choices]:
        for _ in range(configurations):
            candidate = space.draw(rng)
            choices = space.chosen(candidate)
            funnel.passed("drawn")
            funnel.passed("valid")  # the space holds only sequences that apply, see `search.space.Drawn`
            if funnel.judged("legal by structure", structure(choices)):
                pending.append(candidate)
                yield choices
            else:
                advance()

    accepted = []
    for verdict in capacities(legal_by_structure()):
        candidate = pending.popleft()
        if funnel.judged("legal by Fisher", verdict):
            accepted.append(Accepted(candidate, verdict.scores["fisher"]))
        advance()
    return accepted
