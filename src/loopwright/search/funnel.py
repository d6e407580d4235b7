"""How many candidates each check let through, and why the others stopped."""

from __future__ import annotations

from collections import Counter

from loopwright.legality.verdict import Verdict
from loopwright.search.progress import FUNNEL, Progress


class Funnel:
    """Counts by the names of `FUNNEL`, and for each stage the reasons of those that did not reach it."""

    def __init__(self, progress: Progress):
        self.counts = dict.fromkeys(FUNNEL, 0)
        self.rejections: dict[str, Counter[str]] = {name: Counter() for name in FUNNEL}
        self._progress = progress

    def passed(self, stage: str, count: int = 1) -> None:
        """``count`` candidates reached the stage."""
        self.counts[stage] += count
        self._progress.funnel(self.counts)

    def stopped(self, stage: str, reason: str) -> None:
        """A candidate did not reach the stage."""
        self.rejections[stage][reason] += 1

    def judged(self, stage: str, verdict: Verdict) -> bool:
        """Counts a verdict, under its kind of reason (the part before the colon); whether it is legal."""
        if verdict.legal:
            self.passed(stage)
        else:
            self.stopped(stage, kind_of_reason(verdict))
        return verdict.legal


def kind_of_reason(verdict: Verdict) -> str:
    """Reasons differ in their numbers; their kind is what comes before them."""
    return verdict.reason.split(":")[0] if verdict.check != "fisher" else "Fisher Potential below the original's"
