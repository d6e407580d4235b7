"""Times the promising schedules of an operator and keeps the fastest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

from loopwright.ir.contraction import OperatorForm
from loopwright.lowering.epilogue import Epilogue
from loopwright.lowering.kernel import build_kernel
from loopwright.lowering.schedules.schedule import CpuSchedule
from loopwright.lowering.schedules.variants import variants
from loopwright.measurement.build import compile_function
from loopwright.measurement.timer import Call, Measurement, Protocol, measure
from loopwright.measurement.workload import cold_call
from loopwright.targets.target import Target


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
) -> Tuned:
    """The best of the first ``tried`` variants of ``form``, taken while ``budget_s`` seconds last (at least one)."""
    chosen: list[tuple[CpuSchedule, Call]] = []
    end = monotonic() + budget_s
    for schedule in variants(form, target)[:tried]:
        if not chosen or monotonic() < end:
            kernel = build_kernel(form, n, epilogue, target, schedule)
            chosen.append((schedule, cold_call(kernel, compile_function(kernel.primfunc, target), protocol)))
    return _fastest([schedule for schedule, _ in chosen], measure([call for _, call in chosen], protocol))


def _fastest(schedules: Sequence[CpuSchedule], measurements: Sequence[Measurement]) -> Tuned:
    ranked = sorted(zip(schedules, measurements, strict=True), key=lambda pair: pair[1].median_ms)
    (schedule, measurement), *others = ranked
    return Tuned(schedule, measurement, tuple(others))
