"""A finished run as plain data: all that report, tables and page show, and nothing that needs the run to be there."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class NetworkFigures:
    """One whole network: every end-to-end latency sample in milliseconds, and its static figures.

    Samples of two networks were taken interleaved, in the same run. ``macs`` are for the traced batch.
    """

    latency_samples_ms: tuple[float, ...]
    macs: int
    parameters: int
    fisher_potential: float

    @property
    def latency_ms(self) -> float:
        """The median of the samples."""
        return median(self.latency_samples_ms)


@dataclass(frozen=True)
class LayerFigures:
    """One layer that could be transformed, before and after; ``sequence`` is ``identity`` where it was kept.

    Latencies are those of the layer's operator alone, timed with cold weights; None where it was not timed alone.
    """

    name: str
    operator: str
    sequence: str
    macs_before: int
    macs_after: int
    parameters_before: int
    parameters_after: int
    latency_before_ms: float | None = None
    latency_after_ms: float | None = None

    @property
    def changed(self) -> bool:
        """Whether any step was taken."""
        return self.sequence != "identity"


@dataclass(frozen=True)
class KeptLayer:
    """A layer that transformations do not apply to, and why."""

    name: str
    kind: str
    reason: str


@dataclass(frozen=True)
class Rejection:
    """``count`` candidates were stopped for one ``reason``."""

    reason: str
    count: int


@dataclass(frozen=True)
class FunnelStage:
    """``count`` candidates were left after the check ``name``; ``rejections`` says what it stopped, most first."""

    name: str
    count: int
    rejections: tuple[Rejection, ...] = ()


@dataclass(frozen=True)
class CandidatePoint:
    """A candidate that all checks accepted: the sum of its layers' latencies in milliseconds, and its score."""

    predicted_latency_ms: float
    fisher_potential: float
    chosen: bool = False


@dataclass(frozen=True)
class StageTime:
    """How long a stage of the run took, in seconds."""

    name: str
    seconds: float


@dataclass(frozen=True)
class RunSummary:
    """Everything about one run of `loopwright optimize`.

    ``environment`` holds what latencies depend on (processor, threads, versions) as text by name; ``images`` says where
    the minibatch came from; ``created`` is the UTC time in ISO 8601.
    """

    command: str
    created: str
    version: str
    model: str
    input_shape: tuple[int, ...]
    target: str
    seed: int
    images: str
    minibatch: int
    environment: dict[str, str]
    original: NetworkFigures
    chosen: NetworkFigures
    layers: tuple[LayerFigures, ...]
    kept: tuple[KeptLayer, ...]
    funnel: tuple[FunnelStage, ...]
    accepted: tuple[CandidatePoint, ...]
    stages: tuple[StageTime, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def speedup(self) -> float:
        """Latency of the original over that of the chosen network."""
        return self.original.latency_ms / self.chosen.latency_ms
