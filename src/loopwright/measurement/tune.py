"""Builds the promising schedules of an operator, checks them, times them, and keeps the fastest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

from loopwright.ir.contraction import OperatorForm
from loopwright.lowering.axes import as_image
from loopwright.lowering.epilogue import Epilogue
from loopwright.lowering.kernel import Kernel, build_kernel
from loopwright.lowering.schedules.schedule import CpuSchedule
from loopwright.lowering.schedules.variants import variants
from loopwright.measurement.agreement import TOLERANCE, Agreement
from loopwright.measurement.build import Compiled, compile_function
from loopwright.measurement.timer import Call, Measurement, Protocol, measure
from loopwright.measurement.workload import cold_call
from loopwright.targets.target import Target


class TuningError(Exception):
    """An operator could not be timed; ``stage`` is ``build`` or ``check``."""

    def __init__(self, stage: str, message: str):
        self.stage = stage
        super().__init__(message)


@dataclass(frozen=True)
class Tuned:
    """The fastest schedule of an operator, its latency, and those of the others that were timed beside it."""

    schedule: CpuSchedule
    measurement: Measurement
    others: tuple[tuple[CpuSchedule, Measurement], ...]


def tune(
    form: OperatorForm,
    n: int,
    epilogue: Epilogue,
    target: Target,
    protocol: Protocol,
    tried: int = 3,
    budget_s: float = 2.0,
    agreement: Agreement | None = None,
) -> Tuned:
    """The best of the first ``tried`` variants of ``form``, taken while ``budget_s`` seconds last (at least one).

    With an ``agreement`` every kernel is held against PyTorch before it is timed. Raises `TuningError` when a kernel
    does not compile or gives other numbers.
    """
    chosen: list[tuple[CpuSchedule, Call]] = []
    end = monotonic() + budget_s
    for schedule in variants(as_image(form.stages[0]).form, target)[:tried]:
        if not chosen or monotonic() < end:
            kernel, compiled = _built(form, n, epilogue, target, schedule)
            if agreement is not None:
                _check(agreement, kernel, compiled, schedule)
            chosen.append((schedule, cold_call(kernel, compiled, protocol)))
    return _fastest([schedule for schedule, _ in chosen], measure([call for _, call in chosen], protocol))


def _built(
    form: OperatorForm, n: int, epilogue: Epilogue, target: Target, schedule: CpuSchedule
) -> tuple[Kernel, Compiled]:
    kernel = build_kernel(form, n, epilogue, target, schedule)
    try:
        return kernel, compile_function(kernel.primfunc, target)
    except (RuntimeError, ValueError, TypeError) as error:  # what TVM's compiler raises
        raise TuningError("build", f"{schedule}: {str(error).strip().splitlines()[0]}") from error


def _check(agreement: Agreement, kernel: Kernel, compiled: Compiled, schedule: CpuSchedule) -> None:
    error = agreement.error(kernel, compiled)
    if error > TOLERANCE:
        raise TuningError("check", f"{schedule}: differs from PyTorch by {error:.1e} of the largest output")


def _fastest(schedules: Sequence[CpuSchedule], measurements: Sequence[Measurement]) -> Tuned:
    ranked = sorted(zip(schedules, measurements, strict=True), key=lambda pair: pair[1].median_ms)
    (schedule, measurement), *others = ranked
    return Tuned(schedule, measurement, tuple(others))
