"""Latencies of operators: out of the store where they are known, else tuned, timed, and kept there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import inf

from loopwright.lowering.epilogue import Epilogue
from loopwright.lowering.schedules.cost import estimated_cycles
from loopwright.lowering.schedules.schedule import CpuSchedule
from loopwright.lowering.schedules.variants import variants
from loopwright.measurement.agreement import Agreement
from loopwright.measurement.environment import environment, environment_hash
from loopwright.measurement.timer import Protocol
from loopwright.measurement.tune import TuningError, tune
from loopwright.search.space import Choice, SearchSpace
from loopwright.store import Failure, Store, TimingKey
from loopwright.targets.target import Target

EPILOGUE = Epilogue(scale=True, shift=True, residual=False, relu=True)
"""Operators are timed with the epilogue that most convolutions of a network have."""

VARIANTS = 2
"""How many schedules are timed for an operator: the estimate's first is nearly always the best."""


@dataclass(frozen=True)
class OperatorLatency:
    """The fastest schedule found for an operator, and its latency with cold weights; none and infinity for one that
    could not be timed."""

    schedule: CpuSchedule | None
    latency_ms: float


FAILED = OperatorLatency(None, inf)


class OperatorLatencies:
    """Times each operator once for ``n`` images on ``target``; ``failures`` tells which could not be, and why."""

    def __init__(self, n: int, target: Target, store: Store, protocol: Protocol):
        self._n, self._target, self._store, self._protocol = n, target, store, protocol
        self._known: dict[str, OperatorLatency] = {}
        self._estimates: dict[str, float] = {}
        self.failures: list[str] = []
        self.environment = environment(target)
        self._environment_hash = environment_hash(self.environment)
        store.record_environment(self._environment_hash, self.environment)

    def of(self, choice: Choice) -> OperatorLatency:
        """The operator's latency in milliseconds; timed if this is the first time anyone asks."""
        if choice.key not in self._known:
            self._known[choice.key] = self._stored(choice) or self._timed(choice)
        return self._known[choice.key]

    def network_ms(self, space: SearchSpace, choices: Mapping[str, Choice]) -> float:
        """The sum over all transformable layers: what the search compares candidates by."""
        return sum(self.of(choices.get(layer) or space.original(layer)).latency_ms for layer in space.layers)

    def estimate(self, space: SearchSpace, choices: Mapping[str, Choice]) -> float:
        """What the schedules' cost model expects of the layers together, in cycles: good enough to order candidates
        before their operators are timed."""
        return sum(self._estimated(choices.get(layer) or space.original(layer)) for layer in space.layers)

    def time(self, operators: Iterable[Choice], advance: Callable[[], None]) -> None:
        """Times all of ``operators``, calling ``advance`` after each."""
        for choice in operators:
            self.of(choice)
            advance()

    def _estimated(self, choice: Choice) -> float:
        if choice.key not in self._estimates:
            stages = ((form, variants(form, self._target)[0]) for form in choice.form.stages)
            self._estimates[choice.key] = sum(estimated_cycles(form, first, self._target) for form, first in stages)
        return self._estimates[choice.key]

    def _stored(self, choice: Choice) -> OperatorLatency | None:
        if self._store.failure(self._key(choice, None)) is not None:
            return FAILED
        timings = self._store.timings(self._operator(choice), self._target.name, self._environment_hash)
        own = [timing for timing in timings if timing.key.protocol == str(self._protocol)]
        schedules = {str(schedule): schedule for schedule in variants(choice.form, self._target)} if own else {}
        known = [timing for timing in own if timing.key.schedule in schedules]
        return OperatorLatency(schedules[known[0].key.schedule], known[0].median_ms) if known else None

    def _timed(self, choice: Choice) -> OperatorLatency:
        agreement = Agreement.of(choice.form, self._n, EPILOGUE, self._target)
        try:
            tuned = tune(choice.form, self._n, EPILOGUE, self._target, self._protocol, VARIANTS, agreement=agreement)
        except TuningError as error:
            self._store.record_failure(Failure(self._key(choice, None), error.stage, str(error)))
            self.failures.append(f"{choice.sequence}: {error}")
            return FAILED
        for schedule, measurement in ((tuned.schedule, tuned.measurement), *tuned.others):
            self._store.record_timing(self._key(choice, schedule), measurement.samples_ms)
        return OperatorLatency(tuned.schedule, tuned.measurement.median_ms)

    def _key(self, choice: Choice, schedule: CpuSchedule | None) -> TimingKey:
        written = "any" if schedule is None else str(schedule)
        return TimingKey(
            self._operator(choice), self._target.name, written, self._environment_hash, str(self._protocol)
        )

    def _operator(self, choice: Choice) -> str:
        return f"{choice.key} n={self._n}"
