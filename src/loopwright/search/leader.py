"""The best candidate so far, told while operators are being timed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf, isfinite

from loopwright.search.candidate import Candidate
from loopwright.search.events import NewBest, OperatorTimed
from loopwright.search.progress import Progress
from loopwright.search.space import Choice, SearchSpace
from loopwright.search.timing import OperatorLatencies


class Leader:
    """Times operators of ``candidates``, and tells ``progress`` of each, and of each candidate that is faster than the
    original and all before it, as soon as all of its operators are known."""

    def __init__(
        self, space: SearchSpace, candidates: Iterable[Candidate], latencies: OperatorLatencies, progress: Progress
    ):
        self._space, self._latencies, self._progress = space, latencies, progress
        self._workloads = {own.key: workload for workload, found in space.choices.items() for own in found}
        self._open: dict[str, tuple[Mapping[str, Choice], set[str]]] = {}
        for candidate in [Candidate(), *candidates]:
            choices = space.chosen(candidate)
            operators = {(choices.get(layer) or space.original(layer)).key for layer in space.layers}
            self._open[str(candidate)] = (choices, operators)
        self._original_ms = self._best_ms = inf

    def time(self, choice: Choice) -> None:
        """Times one operator, or finds it in the store."""
        found = self._latencies.of(choice)
        latency_ms = found.latency_ms if isfinite(found.latency_ms) else None
        self._progress.happened(OperatorTimed(self._workloads[choice.key], str(choice.sequence), latency_ms))
        for candidate, (choices, operators) in list(self._open.items()):
            operators.discard(choice.key)
            if not operators:
                del self._open[candidate]
                self._known(candidate, self._latencies.network_ms(self._space, choices))

    def _known(self, candidate: str, latency_ms: float) -> None:
        if candidate == str(Candidate()):
            self._original_ms = self._best_ms = latency_ms
        elif latency_ms < self._best_ms:
            self._best_ms = latency_ms
            self._progress.happened(NewBest(candidate, latency_ms, self._original_ms))
