"""The paper's search: random configurations of the network, each judged; there is nothing more to it (Section 6)."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from loopwright.legality.verdict import Verdict
from loopwright.search.candidate import Candidate
from loopwright.search.funnel import Funnel, kind_of_reason
from loopwright.search.space import Choice, SearchSpace

Check = Callable[[Mapping[str, Choice]], Verdict]


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
    structure: Check,
    capacity: Check,
    rng: random.Random,
    configurations: int,
    funnel: Funnel,
    advance: Callable[[], None],
) -> list[Judged]:
    """Draws and judges ``configurations`` configurations, in order; cheap checks come first."""
    judged = []
    for _ in range(configurations):
        judged.append(_judge(space, structure, capacity, space.draw(rng), funnel))
        advance()
    return judged


def _judge(space: SearchSpace, structure: Check, capacity: Check, candidate: Candidate, funnel: Funnel) -> Judged:
    funnel.passed("drawn")
    choices = space.chosen(candidate)
    funnel.passed("valid")  # the space holds only sequences that apply, see `search.space.Drawn`
    reached = "valid"
    for stage, check in (("legal by structure", structure), ("legal by Fisher", capacity)):
        verdict = check(choices)
        if not funnel.judged(stage, verdict):
            return Judged(candidate, reached, kind_of_reason(verdict), verdict.scores)
        reached = stage
    return Judged(candidate, reached, scores=verdict.scores)
