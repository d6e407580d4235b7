"""Builds the promising schedules of an operator, checks them, times them, and keeps the fastest."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from time import monotonic

from loopwright.ir.contraction import OperatorForm
from loopwright.lowering.epilogue import Epilogue
from loopwright.lowering.kernel import Kernel, schedules
from loopwright.lowering.schedules.backend import Schedule
from loopwright.lowering.schedules.given import Given
from loopwright.lowering.threads import set_threads
from loopwright.measurement.agreement import Agreement
from loopwright.measurement.build import Compiled, compile_function
from loopwright.measurement.device import device_of
from loopwright.measurement.kernel_files import KernelFiles, Wanted
from loopwright.measurement.timer import Measurement, Protocol, measure
from loopwright.measurement.workload import WeightCopies, cold_call
from loopwright.targets.target import Target


class TuningError(Exception):
    """An operator could not be timed; ``stage`` is ``build`` or ``check``."""

    def __init__(self, stage: str, message: str):
        self.stage = stage
        super().__init__(message)

    def __reduce__(self) -> tuple[type[TuningError], tuple[str, str]]:
        return TuningError, (self.stage, str(self))


@dataclass(frozen=True)
class Tuned:
    """The fastest schedule of an operator, its latency, and those of the others that were timed beside it."""

    schedule: Schedule
    measurement: Measurement
    others: tuple[tuple[Schedule, Measurement], ...]


@dataclass(frozen=True)
class Built:
    """A schedule's kernel, ready to run."""

    schedule: Schedule
    kernel: Kernel
    compiled: Compiled


def tune(
    form: OperatorForm,
    n: int,
    epilogue: Epilogue,
    target: Target,
    protocol: Protocol,
    tried: int = 3,
    budget_s: float = 2.0,
    agreement: Agreement | None = None,
    given: Given | None = None,
) -> Tuned:
    """The best of the first ``tried`` variants of ``form`` that follow what is ``given``; see `tune_schedules`."""
    candidates = schedules(form, target, given, n)[:tried]
    return tune_schedules(form, n, epilogue, target, protocol, candidates, budget_s, agreement)


def tune_schedules(
    form: OperatorForm,
    n: int,
    epilogue: Epilogue,
    target: Target,
    protocol: Protocol,
    candidates: Sequence[Schedule],
    budget_s: float = 2.0,
    agreement: Agreement | None = None,
    files: KernelFiles | None = None,
) -> Tuned:
    """The best of ``candidates`` with cold weights, built as `build_schedules` does and then timed in turns; raises
    what that raises."""
    built = build_schedules(form, n, epilogue, target, candidates, budget_s, agreement, files)
    device = device_of(target)
    copies = WeightCopies(device)
    calls = [cold_call(own.kernel, own.compiled, protocol, copies) for own in built]
    return fastest([own.schedule for own in built], measure(calls, protocol, device.kernel_clock))


def tune_checked(
    form: OperatorForm,
    n: int,
    epilogue: Epilogue,
    target: Target,
    protocol: Protocol,
    candidates: Sequence[Schedule],
    budget_s: float,
    files: KernelFiles | None = None,
) -> Tuned:
    """As `tune_schedules`, every kernel held against PyTorch; work for a process of its own. Whatever else goes wrong
    is a `TuningError` too."""
    try:
        agreement = Agreement.of(form, n, epilogue, target)
        return tune_schedules(form, n, epilogue, target, protocol, candidates, budget_s, agreement, files)
    except (TuningError, MemoryError):
        raise
    except Exception as error:
        said = str(error).strip().splitlines()
        raise TuningError("build", ": ".join([type(error).__name__, *said[:1]])) from error


def build_schedules(
    form: OperatorForm,
    n: int,
    epilogue: Epilogue,
    target: Target,
    candidates: Sequence[Schedule],
    budget_s: float,
    agreement: Agreement | None = None,
    files: KernelFiles | None = None,
) -> list[Built]:
    """The first of ``candidates``, built in their order, several at once, while ``budget_s`` seconds last; at least
    one.

    With an ``agreement`` every kernel is held against PyTorch; those that ``files`` has are not compiled. Raises
    `TuningError` when a kernel does not compile or gives other numbers.
    """
    set_threads(target.threads)  # TVM keeps threads for each thread that calls; those that build have others
    built = []
    kernels = [Wanted(form, n, epilogue, target, schedule) for schedule in candidates]
    for own in _built_within(kernels, target, budget_s, files):
        if agreement is not None:
            _check(agreement, own)
        built.append(own)
    return built


def _built_within(
    wanted: Sequence[Wanted], target: Target, budget_s: float, files: KernelFiles | None
) -> Iterator[Built]:
    end, builders = monotonic() + budget_s, _builders(os.getpid(), target.threads)
    for start in range(0, len(wanted), target.threads):
        if start and monotonic() > end:
            return
        together = wanted[start : start + target.threads]
        kernels = [own.kernel() for own in together]
        compiled = builders.map(partial(_compiled, files), together, kernels)
        yield from map(Built, (own.schedule for own in together), kernels, compiled)


@cache
def _builders(_process: int, threads: int) -> ThreadPoolExecutor:
    """The threads that build, which live as long as the process does: TVM's compiler leaves with every thread that it
    runs on another one, which spins for ever once the first has ended, and would take processors from what is timed."""
    return ThreadPoolExecutor(threads)


def _compiled(files: KernelFiles | None, wanted: Wanted, kernel: Kernel) -> Compiled:
    known = None if files is None else files.load(wanted)
    if known is not None:
        return known
    try:
        return compile_function(kernel.primfunc, wanted.target)
    except (RuntimeError, ValueError, TypeError) as error:  # what TVM's compiler raises
        raise TuningError("build", f"{wanted.schedule}: {str(error).strip().splitlines()[0]}") from error


def _check(agreement: Agreement, built: Built) -> None:
    error = agreement.error(built.kernel, built.compiled)
    if error > agreement.tolerance:
        raise TuningError("check", f"{built.schedule}: differs from PyTorch by {error:.1e} of the largest output")


def fastest(tried: Sequence[Schedule], measurements: Sequence[Measurement]) -> Tuned:
    """The schedule with the lowest median, beside the others."""
    ranked = sorted(zip(tried, measurements, strict=True), key=lambda pair: pair[1].median_ms)
    (schedule, measurement), *others = ranked
    return Tuned(schedule, measurement, tuple(others))
