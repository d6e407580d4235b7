"""A finished run as plain data: all that report, tables and page show, and nothing that needs the run to be there."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from loopwright.report.formats import milliseconds

IDENTITY = "identity"
"""The sequence of a layer that stays as it is."""

PREDICTED_DROP = "predicted_drop"
"""The score of candidates that predicts by how many points their accuracy falls below the original's."""


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
    """One layer that could be transformed, before and after; ``sequence`` is `IDENTITY` where it was kept.

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
        return self.sequence != IDENTITY


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
class OperatorFigures:
    """What ``sequence`` makes of a layer's operator ``workload``.

    ``name`` is that of a recipe, empty for an operator that has none. ``macs`` are for the traced batch; the latency is
    with cold weights, None where it could not be timed.
    """

    workload: str
    sequence: str
    name: str
    macs: int
    parameters: int
    latency_ms: float | None


@dataclass(frozen=True)
class CandidateFigures:
    """One configuration of the network, the ``number``-th that was drawn, as the search counts it: without what single
    choices save in untouched layers (`loopwright.search.savings`).

    ``reached`` is the last stage of the funnel that it came to, and ``reason`` what stopped it there, empty if no check
    did. ``scores`` are those of its verdict by name: ``fisher`` beside ``fisher_original``, the score that it had to
    reach, and `PREDICTED_DROP` (with ``_low`` and ``_high`` its interval) where a predictor was asked. ``families``
    counts its changed layers by the neural steps that changed them.

    ``latency_ms`` is the sum over the layers, None where one of them could not be timed. Only for accepted candidates
    there are ``operators``, the index into `RunSummary.operators` of each layer in order; ``network_latency_ms`` is the
    median of the whole network for those that were compiled as one.
    """

    number: int
    reached: str
    reason: str
    macs: int
    parameters: int
    scores: dict[str, float]
    families: dict[str, int]
    latency_ms: float | None = None
    network_latency_ms: float | None = None
    operators: tuple[int, ...] = ()
    chosen: bool = False

    @property
    def accepted(self) -> bool:
        """Whether every check let it through."""
        return not self.reason


@dataclass(frozen=True)
class StoreUse:
    """Of one ``kind`` of record, how many were ``found`` in the store and how many were ``made`` in this run."""

    kind: str
    found: int
    made: int


@dataclass(frozen=True)
class StageTime:
    """How long a stage of the run took, in seconds."""

    name: str
    seconds: float


@dataclass(frozen=True)
class RunSummary:
    """Everything about one run of `loopwright optimize`.

    ``environment`` holds what latencies depend on (processor, threads, versions) as text by name; ``images`` says where
    the minibatch came from; ``created`` is the UTC time in ISO 8601. Of the ``configurations`` drawn, all are in
    ``candidates``, in order; a strategy that asks about the fastest first ends at ``shortlist`` accepted ones.
    ``operators`` are the distinct ones of the layers, of the accepted candidates and of the chosen network; ``space``
    is one line on the sequences drawn for them.
    """

    command: str
    created: str
    version: str
    model: str
    input_shape: tuple[int, ...]
    target: str
    seed: int
    configurations: int
    shortlist: int
    images: str
    minibatch: int
    environment: dict[str, str]
    original: NetworkFigures
    chosen: NetworkFigures
    layers: tuple[LayerFigures, ...]
    kept: tuple[KeptLayer, ...]
    funnel: tuple[FunnelStage, ...]
    operators: tuple[OperatorFigures, ...]
    candidates: tuple[CandidateFigures, ...]
    space: str = ""
    store: tuple[StoreUse, ...] = ()
    stages: tuple[StageTime, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether the chosen network is another than the original."""
        return any(layer.changed for layer in self.layers)

    @property
    def speedup(self) -> float:
        """Latency of the original over that of the chosen network."""
        return self.original.latency_ms / self.chosen.latency_ms

    @property
    def line(self) -> str:
        """The network, the target and the two latencies."""
        latencies = " -> ".join(milliseconds(network.latency_ms) for network in (self.original, self.chosen))
        return f"{self.model} on {self.target}: {latencies} ms ({self.speedup:.2f}×)"

    def __repr__(self) -> str:
        return f"<RunSummary {self.line}>"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from loopwright.report.notebook import table_html

        return table_html(self)
