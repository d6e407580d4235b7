"""Latencies of operators: out of the store where they are known, else tuned, timed, and kept there.

Building and timing happen in a process of its own (`loopwright.isolation`): a schedule that crashes, hangs or takes all
memory is a failure in the store, like one that does not compile, and no later run meets it again.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from loopwright.ir.contraction import OperatorForm
from loopwright.isolation import Bounds, FaultError, Isolated
from loopwright.lowering.epilogue import Epilogue
from loopwright.lowering.kernel import schedules
from loopwright.lowering.schedules.backend import Schedule, backend_of
from loopwright.measurement.environment import environment, environment_hash
from loopwright.measurement.kernel_files import Builders, KernelFiles, Wanted
from loopwright.measurement.timer import Protocol
from loopwright.measurement.tune import TuningError, tune_checked
from loopwright.search.reuse import Reuse
from loopwright.search.space import Choice
from loopwright.store import Failure, Store, TimingKey
from loopwright.targets.target import Target

EPILOGUE = Epilogue(shift=True, relu=True)
"""Operators are timed with the epilogue that most convolutions of a network have; batch norm's scale is part of the
weights."""

VARIANTS, GPU_VARIANTS = 2, 3
"""How many schedules are timed for an operator in a search: the best of two algorithms, or two register tiles."""

BUDGET_S = 3.0
"""For building the schedules of one operator, where more than `VARIANTS` are tried; a search tries all of its few, so
that it finds the same again."""


@dataclass(frozen=True)
class OperatorLatency:
    """The fastest schedule found for an operator, and its latency with cold weights; none and infinity for one that
    could not be timed."""

    schedule: Schedule | None
    latency_ms: float


FAILED = OperatorLatency(None, inf)


class OperatorLatencies:
    """Times each operator once for ``n`` images on ``target``, under its first ``tried`` schedules (without it, few);
    ``failures`` tells which could not be, and why; ``reuse`` counts those timed and those known. ``advance`` is called
    after each operator that is not in the store. ``bounds`` hold for the schedules of one operator; what failed in an
    earlier run is tried again only with ``retry``. The kernels of a GPU are files of the folder ``kernels``, which may
    have some already, or of a temporary one. A context manager that ends the processes that build and time."""

    def __init__(
        self,
        n: int,
        target: Target,
        store: Store,
        protocol: Protocol,
        tried: int | None = None,
        advance: Callable[[], None] | None = None,
        *,
        bounds: Bounds | None = None,
        retry: bool = False,
        kernels: Path | None = None,
    ):
        self._n, self._target, self._store, self._protocol = n, target, store, protocol
        self._tried = tried or (VARIANTS if target.gpu is None else GPU_VARIANTS)
        self._advance = advance or (lambda: None)
        self._process, self._retry = Isolated(bounds), retry
        self._folder = None if target.gpu is None or kernels else TemporaryDirectory(prefix="loopwright-")
        folder = kernels if self._folder is None else Path(self._folder.name)
        self._builders = None if folder is None else Builders(KernelFiles(folder))
        self._known: dict[str, OperatorLatency] = {}
        self._estimates: dict[str, float] = {}
        self._variants: dict[str, Sequence[Schedule]] = {}
        self.failures: list[str] = []
        self.reuse = Reuse()
        self.environment = environment(target)
        self.environment_hash = environment_hash(self.environment)
        store.record_environment(self.environment_hash, self.environment)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the processes; what is not known yet can still be asked for, and starts others."""
        self._process.close()
        if self._builders is not None:
            self._builders.close()

    def to_build(self, forms: Iterable[OperatorForm]) -> list[Wanted]:
        """The kernels that timing the operators will need and that are worth building ahead, on all processors: those
        of a GPU, whose compiler takes longer than a timing."""
        if self._builders is None:
            return []
        different = {form.key: form for form in forms}.values()
        return [own for form in different for own in self._wanted(form, self._missing(form, self._stored(form)))]

    def build(self, kernels: Sequence[Wanted], advance: Callable[[], None] = lambda: None) -> None:
        """Builds them; ``advance`` is called after each."""
        assert self._builders is not None
        for _ in self._builders.build(kernels):
            advance()

    def of(self, choice: Choice) -> OperatorLatency:
        """The operator's latency in milliseconds; timed if this is the first time anyone asks."""
        return self.of_form(choice.form, str(choice.sequence))

    def of_form(self, form: OperatorForm, name: str = "") -> OperatorLatency:
        """As `of`; ``name`` says in ``failures`` which operator it is."""
        if form.key not in self._known:
            self._known[form.key] = self._found(form, name or form.key)
        return self._known[form.key]

    def schedule(self, form: OperatorForm, n: int) -> Schedule | None:
        """The fastest schedule of an operator for ``n`` images; None for one that can't be timed."""
        return self.of_form(form).schedule if n == self._n else None

    def estimated(self, choice: Choice) -> float:
        """What the schedules' cost model expects, in cycles: good enough to say what to time."""
        if choice.key not in self._estimates:
            cycles = backend_of(self._target).cycles
            stages = ((form, self._schedules(form)[0]) for form in choice.form.stages)
            self._estimates[choice.key] = sum(cycles(form, first, self._target, self._n) for form, first in stages)
        return self._estimates[choice.key]

    def _found(self, form: OperatorForm, name: str) -> OperatorLatency:
        """The best of the schedules to try; those in the store are not timed again, and those that failed not tried."""
        known = self._stored(form)
        missing = self._missing(form, known)
        self._count(known=not missing)
        if missing:
            known |= self._timed(form, missing, name)
        self._advance()
        if not known:
            return FAILED
        best = min(known, key=lambda schedule: known[schedule])
        return OperatorLatency(best, known[best])

    def _missing(self, form: OperatorForm, known: Container[Schedule]) -> list[Schedule]:
        """Those of the schedules to try that are to be timed, beside the ``known`` ones."""
        missing = [own for own in self._schedules(form)[: self._tried] if own not in known]
        if self._retry:
            return missing
        return [] if self._failed(form, None) else [own for own in missing if not self._failed(form, own)]

    def _wanted(self, form: OperatorForm, schedules: Sequence[Schedule]) -> list[Wanted]:
        return [Wanted(form, self._n, EPILOGUE, self._target, own) for own in schedules]

    def _schedules(self, form: OperatorForm) -> Sequence[Schedule]:
        """All that may be tried, the most promising first."""
        if form.key not in self._variants:
            self._variants[form.key] = schedules(form, self._target, n=self._n)
        return self._variants[form.key]

    def _count(self, known: bool) -> None:
        if known:
            self.reuse.found += 1
        else:
            self.reuse.made += 1

    def _stored(self, form: OperatorForm) -> dict[Schedule, float]:
        """Milliseconds of the schedules that are in the store."""
        timings = self._store.timings(self._operator(form), self._target.name, self.environment_hash)
        own = [timing for timing in timings if timing.key.protocol == str(self._protocol)]
        parse = backend_of(self._target).parse
        return {parse(timing.key.schedule): timing.median_ms for timing in own}

    def _failed(self, form: OperatorForm, schedule: Schedule | None) -> bool:
        """Whether the schedule failed in an earlier run; None stands for all, in the words of older stores."""
        return self._store.failure(self._key(form, schedule)) is not None

    def _timed(self, form: OperatorForm, missing: Sequence[Schedule], name: str) -> dict[Schedule, float]:
        """Milliseconds of those that can be timed: together, or where that fails each by itself."""
        budget_s, files = BUDGET_S if self._tried > VARIANTS else inf, None
        if self._builders is not None:
            budget_s, files = inf, self._builders.files
            list(self._builders.build(self._wanted(form, missing)))
        try:
            tuned = self._process.call(
                tune_checked, form, self._n, EPILOGUE, self._target, self._protocol, missing, budget_s, files
            )
        except (TuningError, FaultError) as error:
            if len(missing) > 1:
                return {known: ms for own in missing for known, ms in self._timed(form, [own], name).items()}
            said = str(error).removeprefix(f"{missing[0]}: ")
            self._store.record_failure(Failure(self._key(form, missing[0]), error.stage, said))
            self.failures.append(f"{name}, {missing[0]}: {error.stage}: {said}")
            return {}
        found = [(tuned.schedule, tuned.measurement), *tuned.others]
        for schedule, measurement in found:
            self._store.record_timing(self._key(form, schedule), measurement.samples_ms)
        return {schedule: measurement.median_ms for schedule, measurement in found}

    def _key(self, form: OperatorForm, schedule: Schedule | None) -> TimingKey:
        written = "any" if schedule is None else str(schedule)
        return TimingKey(self._operator(form), self._target.name, written, self.environment_hash, str(self._protocol))

    def _operator(self, form: OperatorForm) -> str:
        return f"{form.key} n={self._n}"
