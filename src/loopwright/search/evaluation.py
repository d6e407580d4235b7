"""What a strategy asks about candidates, and what it leaves behind: the candidates that it drew, judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Protocol

from loopwright.legality.capacity.margin import margin
from loopwright.legality.verdict import Verdict
from loopwright.search.budget import Budget
from loopwright.search.candidate import Candidate
from loopwright.search.events import CandidateJudged, NewBest
from loopwright.search.funnel import Funnel, kind_of_reason
from loopwright.search.judged import Judged
from loopwright.search.pool import Pool
from loopwright.search.progress import Progress
from loopwright.search.space import Choice, SearchSpace

Choices = Mapping[str, Choice]

NOT_ASKED = "Not judged"
"""Enough faster ones were accepted, or the time was up."""
TOO_LARGE = "Too many parameters"


class Legality(Protocol):
    """The checks of candidates, as `loopwright.search.judge.Judge` has them."""

    def structure(self, choices: Choices) -> Verdict: ...

    def keeps_structure(self, choices: Choices) -> bool: ...

    def capacities(self, candidates: Sequence[Choices]) -> Iterator[Verdict]: ...


@dataclass(frozen=True)
class Size:
    """A network has at most ``most`` parameters; the untouched one has ``original``, all of its layers counted."""

    original: int
    most: int

    def parameters(self, space: SearchSpace, choices: Choices) -> int:
        """Those of the network with these changes."""
        changes = ((space.original(layer).form, choice.form) for layer, choice in choices.items())
        return self.original - sum(before.parameters - after.parameters for before, after in changes)


class Evaluation:
    """Takes candidates in two steps: `draw` checks what costs next to nothing, `judge` the capacity. ``enough`` is how
    many accepted candidates are wanted, the fastest ones. All that was drawn is in ``judged``, in order; the clock of
    the ``budget`` runs from ``started`` (of `time.monotonic`)."""

    def __init__(
        self,
        pool: Pool,
        legality: Legality,
        size: Size,
        budget: Budget,
        enough: int,
        funnel: Funnel,
        progress: Progress,
        started: float | None = None,
    ):
        self.pool, self.size, self.enough = pool, size, enough
        self._legality, self._funnel, self._progress = legality, funnel, progress
        self._budget, self._started = budget, monotonic() if started is None else started
        self._judged: list[Judged] = []
        self._choices: list[Choices] = []
        self._margins: dict[int, float] = {}
        self._pending: set[int] = set()
        self._original_ms = self._best_ms = pool.latency_ms({})

    @property
    def space(self) -> SearchSpace:
        return self.pool.space

    @property
    def judged(self) -> tuple[Judged, ...]:
        """All that were drawn; those that nobody asked about are not accepted."""
        return tuple(
            replace(found, reason=NOT_ASKED) if number in self._pending else found
            for number, found in enumerate(self._judged)
        )

    @property
    def margins(self) -> dict[int, float]:
        """How far each candidate that was judged by capacity is from the other decision, by number."""
        return dict(self._margins)

    @property
    def original_ms(self) -> float:
        """The untouched network's latency."""
        return self._original_ms

    @property
    def best_ms(self) -> float:
        """The latency of the fastest network that is known to be legal."""
        return self._best_ms

    @property
    def accepted(self) -> list[int]:
        """The numbers of the accepted candidates, the fastest first."""
        found = [number for number, own in enumerate(self._judged) if own.accepted and number not in self._pending]
        return sorted(found, key=lambda number: (self._judged[number].latency_ms, number))

    @property
    def left(self) -> int:
        """How many more candidates may be drawn."""
        return 0 if self.time_is_up else self._budget.configurations - len(self._judged)

    @property
    def time_is_up(self) -> bool:
        seconds = self._budget.seconds
        return seconds is not None and monotonic() - self._started >= seconds

    def keeps_structure(self, choices: Choices) -> bool:
        """Asked quietly, of what may never be drawn."""
        return self._legality.keeps_structure(choices)

    def choices(self, number: int) -> Choices:
        """What the candidate makes of each layer that it changes."""
        return self._choices[number]

    def latency_ms(self, number: int) -> float:
        """The sum of the latencies of the candidate's layers."""
        return self._judged[number].latency_ms

    def draw(self, choices: Choices) -> int | None:
        """The candidate's number, if structure and size let it through."""
        candidate = Candidate.of({layer: choices[layer].sequence for layer in self.space.layers if layer in choices})
        self._funnel.passed("drawn")
        self._funnel.passed("valid")  # the space holds only sequences that apply, see `search.space.Drawn`
        number = len(self._judged)
        self._judged.append(Judged(candidate, "legal by structure", latency_ms=self.pool.latency_ms(choices)))
        self._choices.append(choices)
        verdict = self._legality.structure(choices)
        if not self._funnel.judged("legal by structure", verdict):
            self._stopped(number, "valid", verdict)
        elif (parameters := self.size.parameters(self.space, self.pool.delivered(choices))) > self.size.most:
            verdict = Verdict(False, "size", f"{TOO_LARGE}: {parameters:,} of at most {self.size.most:,}")
            self._progress.happened(CandidateJudged(str(candidate), verdict.check, verdict.legal, verdict.reason))
            self._funnel.judged("legal by capacity", verdict)
            self._stopped(number, "legal by structure", verdict)
        else:
            self._pending.add(number)
            return number
        return None

    def judge(self, numbers: Sequence[int]) -> None:
        """Asks about the capacity of candidates that were drawn."""
        asked = [number for number in numbers if number in self._pending]
        verdicts = self._legality.capacities([self._choices[number] for number in asked])
        for number, verdict in zip(asked, verdicts, strict=True):
            self._pending.discard(number)
            self._margins[number] = margin(verdict)
            if self._funnel.judged("legal by capacity", verdict):
                self._judged[number] = replace(self._judged[number], reached="legal by capacity", scores=verdict.scores)
                self._progress.advance()
                self._accept(number)
            else:
                self._stopped(number, "legal by structure", verdict)

    def judge_fastest(self, numbers: Sequence[int], batch: int) -> None:
        """Asks about candidates in order of their latencies, so many at once, until enough are accepted or time is up:
        the fastest accepted ones are those that would be found by asking about all."""
        waiting = sorted(numbers, key=lambda number: (self.latency_ms(number), number))
        while waiting and len(self.accepted) < self.enough and not self.time_is_up:
            self.judge(waiting[:batch])
            waiting = waiting[batch:]

    def finish(self) -> None:
        """Counts those that nobody asked about."""
        for _ in self._pending:
            self._funnel.stopped("legal by capacity", NOT_ASKED)
            self._progress.advance()

    def _stopped(self, number: int, reached: str, verdict: Verdict) -> None:
        reason = kind_of_reason(verdict)
        self._judged[number] = replace(self._judged[number], reached=reached, reason=reason, scores=verdict.scores)
        self._progress.advance()

    def _accept(self, number: int) -> None:
        found = self._judged[number]
        if found.latency_ms < self._best_ms:
            self._best_ms = found.latency_ms
            self._progress.happened(NewBest(str(found.candidate), found.latency_ms, self._original_ms))
