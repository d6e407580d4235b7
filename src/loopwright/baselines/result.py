"""What a benchmark found, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median, quantiles

from loopwright.baselines.participant import OURS
from loopwright.targets.target import FLOAT32


@dataclass(frozen=True)
class ParticipantResult:
    """One participant: all its samples in milliseconds a run, or in ``reason`` why there are none.

    ``setup_s`` is from the network to its first output, ``difference`` the largest from PyTorch's outputs, relative to
    the largest of them; both are None for a participant that never ran, the difference for one that runs another
    network too. ``stock`` is False for Loopwright.
    """

    name: str
    version: str
    precision: str = ""
    samples_ms: tuple[float, ...] = ()
    setup_s: float | None = None
    difference: float | None = None
    reason: str = ""
    stock: bool = True

    @property
    def median_ms(self) -> float | None:
        """None where there is a reason instead."""
        return median(self.samples_ms) if self.samples_ms and not self.reason else None

    @property
    def quartiles_ms(self) -> tuple[float, float]:
        """The first and the third; needs at least one sample."""
        if len(self.samples_ms) == 1:
            return self.samples_ms[0], self.samples_ms[0]
        first, _, third = quantiles(self.samples_ms, n=4, method="inclusive")
        return first, third


@dataclass(frozen=True)
class NetworkBenchmark:
    """All participants of one run in the order in which they took turns, and the machine they ran on."""

    model: str
    input_shape: tuple[int, ...]
    threads: int
    environment: Mapping[str, str]
    results: tuple[ParticipantResult, ...]

    @property
    def ours(self) -> ParticipantResult:
        return next(result for result in self.results if result.name == OURS)

    @property
    def ranked(self) -> list[ParticipantResult]:
        """The fastest first, those without a median last."""
        return sorted(self.results, key=lambda result: (result.median_ms is None, result.median_ms or 0.0))

    @property
    def best_peer(self) -> ParticipantResult | None:
        """The fastest of the others that computes in float32, or as ours does."""
        precisions = (FLOAT32, self.ours.precision)
        peers = (result for result in self.ranked if result.stock and result.precision in precisions)
        return next((result for result in peers if result.median_ms is not None), None)
