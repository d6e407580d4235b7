"""Operators one by one against what the machine can do: its peak of multiply-adds, and its copies.

A case is an operator, and after a bar the sequence that changes it: ``conv2d(co=64, ci=64, oh=32, ow=32, kh=3, kw=3) |
group(co, ci, 2)``. Every operator is tuned, checked against PyTorch, and then timed in turns with the kernels of
`loopwright.measurement.peak`, with a bias and ReLU as in a network.

A share of the peak counts the operator's own multiply-accumulates. A schedule may use an algorithm that needs fewer
(Winograd's), so that it may pass 100 %.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from time import perf_counter

from loopwright.errors import ArgumentError
from loopwright.ir.contraction import OperatorForm, operator_form
from loopwright.ir.loopnest import LoopNest
from loopwright.ir.traffic import traffic
from loopwright.lowering.epilogue import Epilogue
from loopwright.lowering.kernel import schedules
from loopwright.lowering.schedules.given import Given, given
from loopwright.measurement.agreement import Agreement
from loopwright.measurement.device import device_of
from loopwright.measurement.peak import Probe, cache_levels, copy_probe, level_of, peak_probe
from loopwright.measurement.timer import Measurement, Protocol, measure
from loopwright.measurement.tune import Built, TuningError, build_schedules
from loopwright.measurement.workload import WeightCopies, cold_call, warm_call
from loopwright.operators import parse
from loopwright.targets.processors import require_runnable
from loopwright.targets.target import Target
from loopwright.transformations import TransformationSequence

EPILOGUE = Epilogue(shift=True, relu=True)
SAMPLE_MS = 10.0
"""Long enough that the first call of a sample, which finds the caches full of what was timed before, does not count."""

TUNING = Protocol(rounds=5)
"""How the schedules of an operator are timed beside each other."""

FINAL = Protocol(rounds=9)
TIMED_AGAIN = 3
"""How many of the fastest are timed once more: one of few samples is easily the fastest by luck."""
TRIED = 14
BUDGET_S = 2.8
"""Schedules that are timed for an operator, and how long they may take to build."""

FLOP_OF_A_MAC = 2
LOW_INTENSITY = 8
"""Operations a byte, below which the peak alone says little: copying a byte from beyond level 2 takes a processor about
as long as so many."""


@dataclass(frozen=True)
class Case:
    """A nest to be timed, how it was written, and the bytes it touches once: input, output and weights."""

    operator: str
    sequence: str
    nest: LoopNest
    memory_bytes: int

    @classmethod
    def parse(cls, text: str) -> Case:
        """Reads ``operator`` or ``operator | sequence``; raises `ArgumentError` or `NotApplicableError`."""
        operator_text, bar, sequence_text = text.partition("|")
        if bar and not sequence_text.strip():
            raise ArgumentError(f"{text!r} has no sequence after the bar; write operator | sequence, or leave it out")
        operator, sequence = parse(operator_text.strip()), TransformationSequence.parse(sequence_text.strip())
        nest = sequence.apply(operator.nest())
        return cls(str(operator), str(sequence), nest, traffic(nest).memory_bytes)

    @property
    def images(self) -> int:
        """The batch."""
        return prod(it.extent for it in self.nest.computation.iterators if it.role == "batch")


@dataclass(frozen=True)
class OperatorFigures:
    """What was measured of an operator, all in one run. ``warm`` has the same weights in every call, and the
    ``schedule`` that is fastest so; ``cold`` has other weights in every call, and ``cold_schedule``. ``peak_gflops`` is
    the target's peak; ``bandwidth_gbps`` that of copies in the cache level that holds the operator's bytes; ``copy_ms``
    what one call takes that copies as many bytes as the operator touches."""

    schedule: str
    cold_schedule: str
    tuning_s: float
    warm: Measurement
    cold: Measurement
    peak_gflops: float
    bandwidth_gbps: float
    copy_ms: float


@dataclass(frozen=True)
class OperatorRow:
    """An operator and its figures; none where it could not be tuned, which ``reason`` tells. ``level`` is the cache
    level that ``memory_bytes`` fit into; ``ignored`` says what of the sequence's schedule no kernel can follow."""

    operator: str
    sequence: str
    macs: int
    memory_bytes: int
    level: str
    figures: OperatorFigures | None
    reason: str = ""
    ignored: tuple[str, ...] = ()

    def gflops(self, measurement: Measurement) -> float:
        """Twice the operator's multiply-accumulates over the median."""
        return FLOP_OF_A_MAC * self.macs / measurement.median_ms / 1e6

    def share_of_peak(self, measurement: Measurement) -> float:
        """Of the peak of multiply-adds; 0 where there are no figures."""
        return self.gflops(measurement) / self.figures.peak_gflops if self.figures else 0.0

    @property
    def share_of_bandwidth(self) -> float:
        """The operator's bytes over its warm latency, of the bandwidth of copies at its level."""
        if self.figures is None:
            return 0.0
        return self.memory_bytes / self.figures.warm.median_ms / 1e6 / self.figures.bandwidth_gbps

    @property
    def share_of_copy(self) -> float:
        """The time of a call that copies the operator's bytes, over the operator's: of small operators most is the
        call itself and the start of its threads, which this share leaves out of the question."""
        return self.figures.copy_ms / self.figures.warm.median_ms if self.figures else 0.0

    @property
    def moves_much(self) -> bool:
        """True where there is little arithmetic for each byte, so that the caches rather than the multiply-adds may be
        the limit."""
        return FLOP_OF_A_MAC * self.macs < LOW_INTENSITY * self.memory_bytes


def benchmark_operators(
    cases: Sequence[str], target: Target, rounds: int, on_row: Callable[[OperatorRow], None]
) -> list[OperatorRow]:
    """A row for every case, in order, each also given to ``on_row`` as soon as it is there.

    All cases are read first: raises `ArgumentError` or `NotApplicableError` for one that makes no nest, and
    `ArgumentError` for a target that this machine cannot run.
    """
    if target.gpu is not None:
        raise ArgumentError("operators are held against a processor's peak; take target=cpu, or a network for a GPU")
    require_runnable(target)
    known = [Case.parse(text) for text in cases]
    bench = _Bench(target, Protocol(rounds=rounds, sample_ms=SAMPLE_MS))
    rows = []
    for case in known:
        rows.append(bench.row(case))
        on_row(rows[-1])
    return rows


class _Bench:
    """The probes of a target, built once."""

    def __init__(self, target: Target, protocol: Protocol):
        self._target, self._protocol, self._device = target, protocol, device_of(target)
        self._peak = peak_probe(target)
        self._copies = {level.name: copy_probe(target, level.working_set) for level in cache_levels(target)}

    def row(self, case: Case) -> OperatorRow:
        level = level_of(case.memory_bytes, self._target).name
        known = (case.operator, case.sequence, case.nest.macs, case.memory_bytes, level)
        wanted = given(case.nest)
        try:
            figures = self._figures(case, wanted, self._copies[level])
        except TuningError as error:
            return OperatorRow(*known, None, str(error), wanted.ignored)
        return OperatorRow(*known, figures, ignored=wanted.ignored)

    def _figures(self, case: Case, wanted: Given, copies: Probe) -> OperatorFigures:
        form = operator_form(case.nest)
        start = perf_counter()
        warmest, coldest = self._tuned(form, case.images, wanted)
        tuning_s = perf_counter() - start
        same = copy_probe(self._target, case.memory_bytes, times=1)
        ours = [
            warm_call(warmest.kernel, warmest.compiled, WeightCopies(self._device)),
            cold_call(coldest.kernel, coldest.compiled, self._protocol, WeightCopies(self._device)),
        ]
        calls = [*ours, self._peak.call, copies.call, same.call]
        warm, cold, peak, copied, copied_once = measure(calls, self._protocol)
        return OperatorFigures(
            str(warmest.schedule),
            str(coldest.schedule),
            tuning_s,
            warm,
            cold,
            self._peak.rate(peak),
            copies.rate(copied),
            copied_once.median_ms * case.memory_bytes / same.work,
        )

    def _tuned(self, form: OperatorForm, images: int, wanted: Given) -> tuple[Built, Built]:
        """The fastest with warm and with cold weights. They are held against PyTorch, but for products of two inputs,
        which have no weights of their own."""
        agreement = None if form.two_inputs else Agreement.of(form, images, EPILOGUE, self._target)
        candidates = schedules(form, self._target, wanted, images)[:TRIED]
        built = build_schedules(form, images, EPILOGUE, self._target, candidates, BUDGET_S, agreement)
        copies = WeightCopies(self._device)
        warm = [warm_call(own.kernel, own.compiled, copies) for own in built]
        cold = [cold_call(own.kernel, own.compiled, TUNING, copies) for own in built]
        first = measure([*warm, *cold], TUNING)
        best_warm, best_cold = _leading(first[: len(built)]), _leading(first[len(built) :])
        again = iter(measure([*(warm[k] for k in best_warm), *(cold[k] for k in best_cold)], FINAL))
        warmest, coldest = ({k: next(again).median_ms for k in best} for best in (best_warm, best_cold))
        return built[min(warmest, key=lambda k: warmest[k])], built[min(coldest, key=lambda k: coldest[k])]


def _leading(measured: Sequence[Measurement]) -> list[int]:
    """Which few have the lowest medians."""
    return sorted(range(len(measured)), key=lambda k: measured[k].median_ms)[:TIMED_AGAIN]


def _convolutions(sizes: Sequence[tuple[int, int]], sequence: str = "") -> Iterator[str]:
    """3x3 convolutions that keep their channels: (channels, rows and columns) each."""
    for channels, size in sizes:
        operator = f"conv2d(co={channels}, ci={channels}, oh={size}, ow={size}, kh=3, kw=3)"
        yield f"{operator} | {sequence}" if sequence else operator


def _pointwise(sizes: Sequence[tuple[int, int, int]]) -> Iterator[str]:
    """1x1 convolutions: (input channels, output channels, rows and columns) each."""
    for ci, co, size in sizes:
        yield f"conv2d(co={co}, ci={ci}, oh={size}, ow={size})"


_DENSE = ((64, 32), (128, 16), (256, 8), (512, 4), (64, 56), (128, 28), (256, 14), (512, 7))
_DEPTHWISE = ((64, 32), (128, 16), (256, 8), (512, 4), (64, 112), (144, 56), (384, 14), (960, 7))
_POINTWISE = (
    (64, 256, 56),
    (256, 64, 56),
    (256, 128, 28),
    (128, 512, 28),
    (512, 256, 14),
    (1024, 256, 14),
    (2048, 512, 7),
    (256, 256, 8),
)

OPERATOR_SUITE = (
    *_convolutions(_DENSE),
    *_convolutions(_DENSE, "group(co, ci, 2)"),
    *_convolutions(_DENSE, "group(co, ci, 4)"),
    *_convolutions(_DEPTHWISE, "depthwise(co, ci)"),
    *_pointwise(_POINTWISE),
    "conv2d(co=64, ci=3, oh=112, ow=112, kh=7, kw=7, stride=2)",
    "conv2d(co=64, ci=3, oh=32, ow=32, kh=3, kw=3)",
    "conv2d(co=128, ci=64, oh=28, ow=28, kh=3, kw=3, stride=2)",
    "conv2d(co=256, ci=128, oh=8, ow=8, kh=3, kw=3, stride=2)",
    "linear(co=1000, ci=512)",
)
"""The operators of residual, densely connected and mobile networks, for images of 32x32 and of 224x224 pixels."""
