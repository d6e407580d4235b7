"""The Python API: the same as the commands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import nn

from loopwright import __version__, targets
from loopwright.errors import ArgumentError, LoopwrightError
from loopwright.legality.capacity import Table, shipped
from loopwright.lowering.network import CompiledNetwork
from loopwright.models.devices import require_device
from loopwright.models.images import load_minibatch
from loopwright.models.network import Network
from loopwright.models.resolve import resolve
from loopwright.models.trace import trace
from loopwright.report.folder import require_free
from loopwright.report.outcome import RunInputs, summary_of
from loopwright.report.page import write_report
from loopwright.report.summary import RunSummary
from loopwright.search.deliver import ChangedLayer, NetworkSpec, load, new_folder, save
from loopwright.search.events import Callback
from loopwright.search.logs import log_event
from loopwright.search.progress import CallbackProgress, Progress, SeveralProgress
from loopwright.search.run import CapacityCheck, Outcome, Settings, run_search
from loopwright.search.stages import Stages
from loopwright.search.workers import Crew, LocalCrew, RayCrew
from loopwright.store import Store, default_path
from loopwright.targets.processors import require_runnable

__all__ = ["Optimized", "load", "optimize"]


@dataclass(frozen=True, eq=False)
class Optimized:
    """The chosen network as a trainable PyTorch module, the same compiled for the target, and the run's figures.
    ``folder`` is where they were written, if anywhere."""

    module: nn.Module
    compiled: CompiledNetwork
    summary: RunSummary
    folder: Path | None

    def __repr__(self) -> str:
        return f"<Optimized {self.summary.line}{f' in {self.folder}' if self.folder else ''}>"

    def _repr_html_(self) -> str:
        return self.summary._repr_html_()


def optimize(
    model: str | nn.Module,
    example_input: torch.Tensor | Sequence[int] | None = None,
    *,
    target: str = "cpu",
    out: Path | str | None = None,
    data: Path | str | None = None,
    configurations: int = 1000,
    images: int = 128,
    seed: int = 0,
    device: str = "cpu",
    legality: str = "calibrated",
    tolerance: float = 1.0,
    calibration: Path | str | None = None,
    store: Path | str | None = None,
    workers: int | None = None,
    ray: str | None = None,
    progress: Progress | None = None,
    callbacks: Sequence[Callback] = (),
    command: str = "loopwright.optimize",
) -> Optimized:
    """Finds a network of the same kind that is faster on ``target``, and writes it to the new folder ``out``.

    ``model`` is a registered name, ``file.py:factory``, ``package.module:factory``, or a module; ``example_input`` is
    an input (N, C, H, W) or its shape, which registered models have themselves. ``data`` is a folder of image Parquet
    files, of which ``images`` training images judge the candidates (without it, the packaged CIFAR-10 sample).
    ``configurations`` are drawn with ``seed``. ``device`` is where PyTorch scores them: ``cpu``, ``cuda``, ``cuda:1``;
    a GPU scores every one on all images. ``legality`` says what may be lost: ``calibrated`` holds the accuracy that is
    predicted for a network to ``tolerance`` points below the original's, as learnt from the trained networks of the
    table ``calibration`` (without it, the packaged one), ``fisher`` the Fisher Potential to the original's. ``store``
    keeps timings and verdicts: a file, or a PostgreSQL address as text (without it, a file in the user's cache folder).
    ``workers`` processes judge (one for each processor), of this machine or of the Ray cluster ``ray``: HOST:PORT,
    ``local`` for one that is started here, ``auto`` for the one that runs here. Each of ``callbacks`` is called with
    every `loopwright.search.events.Event`; what it raises ends the run and is raised here.

    Raises `LoopwrightError`, of which the message says what would be right; ``out`` is not made then.
    """
    folder = None if out is None else Path(out)
    if folder is not None:
        require_free(folder)
    hardware = targets.named(target)
    if hardware.gpu is not None:
        raise ArgumentError(f"networks are optimized for processors, not for {target}; take target=cpu")
    require_runnable(hardware)
    require_device(device)
    _require_processor(device, workers, ray)
    source = _source(model, example_input, seed)
    minibatch = load_minibatch(data, images, seed, source.input_shape)
    told = [CallbackProgress(callback) for callback in (log_event, *callbacks)]
    stages = Stages(SeveralProgress(*told, *([progress] if progress else [])))
    with ExitStack() as open_things:
        opened = open_things.enter_context(Store.open(store or default_path()))
        staged = None if folder is None else open_things.enter_context(new_folder(folder))
        crew = open_things.enter_context(_crew(workers, ray, stages.progress))
        with stages.stage("Trace"):
            network = _traced(source)
            stages.progress.traced(network)
        table = shipped() if calibration is None else Table.read(Path(calibration))
        capacity = CapacityCheck(legality, tolerance, table)
        settings = Settings(configurations, seed, device=device, capacity=capacity, crew=crew)
        outcome = run_search(network, minibatch, hardware, opened, settings, stages)
        created = datetime.now(UTC).isoformat(timespec="seconds")
        inputs = RunInputs(command, created, __version__, target, seed, settings.shortlist)
        summary = summary_of(outcome, inputs, stages.seconds)
        if staged is not None:
            _write(staged, model if isinstance(model, str) else "", outcome, summary)
    return Optimized(outcome.module, outcome.compiled, summary, folder)


def _require_processor(device: str, workers: int | None, ray: str | None) -> None:
    """Raises `ArgumentError` where candidates are scored on a GPU and workers are asked for, or not even one is."""
    if device != "cpu" and (workers or ray):
        raise ArgumentError(f"workers score on processors; leave out device={device} or the workers")
    if workers is not None and workers < 1:
        raise ArgumentError(f"workers={workers}; at least one has to judge")


@contextmanager
def _crew(workers: int | None, ray: str | None, progress: Progress) -> Iterator[Crew | None]:
    """Where candidates are judged; the connection to a cluster is open inside."""
    if ray is None:
        yield None if workers is None else LocalCrew(workers)
        return
    with RayCrew.connect(ray, workers) as crew:
        progress.note(str(crew))
        yield crew


@dataclass(frozen=True, eq=False)
class _Source:
    """A module to be traced with an input of ``input_shape``."""

    name: str
    module: nn.Module
    input_shape: tuple[int, ...]


def _source(model: str | nn.Module, example_input: torch.Tensor | Sequence[int] | None, seed: int) -> _Source:
    shape = tuple(example_input.shape if isinstance(example_input, torch.Tensor) else example_input or ())
    if isinstance(model, str):
        found = resolve(model, shape or None)
        return _Source(found.name, found.build(seed), found.input_shape)
    if not shape:
        raise ArgumentError("a module needs an example input, as in optimize(module, torch.zeros(1, 3, 32, 32))")
    return _Source(type(model).__name__, model, shape)


def _traced(source: _Source) -> Network:
    """The traced network; `ArgumentError` where it has no convolution that can be transformed."""
    network = trace(source.module, torch.zeros(source.input_shape), source.name)
    if not network.transformable:
        reasons = "; ".join(f"{layer.name}: {layer.reason}" for layer in network.layers[:3])
        raise ArgumentError(
            f"{network.name} has no convolution that can be transformed ({reasons or 'it has no layers'})"
        )
    return network


def _write(staged: Path, model: str, outcome: Outcome, summary: RunSummary) -> None:
    operators = {layer.name: str(layer.operator) for layer in outcome.network.transformable}
    layers = {layer: ChangedLayer(operators[layer], str(choice.sequence)) for layer, choice in outcome.choices.items()}
    save(staged, NetworkSpec(model, outcome.network.input_shape, layers), outcome.module)
    write_report(summary, staged)
    _require_same(outcome, load(staged, outcome.network.module))


def _require_same(outcome: Outcome, loaded: nn.Module) -> None:
    """What was written gives the same outputs, bit for bit."""
    images = torch.from_numpy(outcome.minibatch.images)
    with torch.no_grad():
        outputs = [module.eval()(images) for module in (outcome.module, loaded)]
    outcome.module.train()
    if not torch.equal(*outputs):
        raise LoopwrightError(
            "the network that was written gives other outputs than the one chosen; please report this"
        )
