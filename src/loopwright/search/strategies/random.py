"""The paper's search: random configurations of the network, each judged; there is nothing more to it (Section 6)."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from loopwright.legality.verdict import Verdict
from loopwright.search.candidate import Candidate
from loopwright.search.funnel import Funnel, kind_of_reason
from loopwright.search.space import Choice, SearchSpace

Choices = Mapping[str, Choice]


@dataclass(frozen=True)
class Judged:
    """A candidate that was drawn, the last stage of the funnel that it reached, and the ``scores`` of its verdict;
    ``reason`` says what stopped it, and is empty if every check let it through."""

    candidate: Candidate
    reached: str
    reason: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)

    @property
    def accepted(self) -> bool:
        return not self.reason

    @property
    def fisher_potential(self) -> float:
        """The score it was accepted with; KeyError for a candidate that was stopped before it was scored."""
        return self.scores["fisher"]


def search(
    space: SearchSpace,
    draw: Callable[[random.Random], Candidate],
    structure: Callable[[Choices], Verdict],
    capacities: Callable[[Iterable[Choices]], Iterator[Verdict]],
    rng: random.Random,
    configurations: int,
    funnel: Funnel,
    advance: Callable[[], None],
) -> list[Judged]:
    """Draws ``configurations`` configurations of ``space`` with ``draw`` and judges them; all of them, in order. What
    ``structure`` lets through goes to ``capacities``, which may draw some of it ahead of its verdicts."""
    judged: list[Judged] = []
    pending: deque[int] = deque()

    def legal_by_structure() -> Iterator[Choices]:
        for number in range(configurations):
            candidate = draw(rng)
            choices = space.chosen(candidate)
            funnel.passed("drawn")
            funnel.passed("valid")  # the space holds only sequences that apply, see `search.space.Drawn`
            verdict = structure(choices)
            if funnel.judged("legal by structure", verdict):
                judged.append(Judged(candidate, "legal by structure"))
                pending.append(number)
                yield choices
            else:
                judged.append(Judged(candidate, "valid", kind_of_reason(verdict), verdict.scores))
                advance()

    for verdict in capacities(legal_by_structure()):
        number = pending.popleft()
        if funnel.judged("legal by capacity", verdict):
            judged[number] = replace(judged[number], reached="legal by capacity", scores=verdict.scores)
        else:
            judged[number] = replace(judged[number], reason=kind_of_reason(verdict), scores=verdict.scores)
        advance()
    return judged
