"""What became of one candidate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf

from loopwright.search.candidate import Candidate


@dataclass(frozen=True)
class Judged:
    """A candidate that was drawn, the last stage of the funnel that it reached, and the ``scores`` of its verdict;
    ``reason`` says what stopped it, and is empty if every check let it through. ``latency_ms`` is the sum of its
    layers' latencies."""

    candidate: Candidate
    reached: str
    reason: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)
    latency_ms: float = inf

    @property
    def accepted(self) -> bool:
        return not self.reason

    @property
    def fisher_potential(self) -> float:
        """The score it was accepted with; KeyError for a candidate that was stopped before it was scored."""
        return self.scores["fisher"]
