"""The Python API: the same as the commands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import nn

from loopwright import __version__, targets
from loopwright.errors import ArgumentError, LoopwrightError
from loopwright.keeping import nowhere
from loopwright.legality.capacity import Table, shipped
from loopwright.lowering.network import CompiledNetwork
from loopwright.measurement.kernel_files import kernel_folder
from loopwright.models.devices import require_device
from loopwright.models.given import GivenNetwork
from loopwright.models.images import Minibatch, load_minibatch
from loopwright.report.folder import require_free
from loopwright.report.outcome import RunInputs, summary_of
from loopwright.report.page import write_report
from loopwright.report.summary import RunSummary
from loopwright.search import strategies
from loopwright.search.budget import OPERATORS, Budget
from loopwright.search.deliver import ChangedLayer, NetworkSpec, load, save, with_weights
from loopwright.search.events import Callback
from loopwright.search.judge import fingerprint
from loopwright.search.progress import Progress
from loopwright.search.run import CapacityCheck, Outcome, Settings, run_search
from loopwright.search.run_folder import RunArguments, RunFolder, RunRequest, new_run, resumed_run
from loopwright.search.stages import Stages
from loopwright.search.workers import Crew, LocalCrew, RayCrew
from loopwright.store import Store, default_path
from loopwright.store.location import located, shown
from loopwright.targets.processors import require_runnable
from loopwright.targets.target import FLOAT32, Target

__all__ = ["Optimized", "load", "optimize", "resume"]


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
    precision: str = FLOAT32,
    out: Path | str | None = None,
    data: Path | str | None = None,
    strategy: str = "exact",
    configurations: int = 1000,
    operators: int = OPERATORS,
    seconds: float | None = None,
    parameters: float = 1.0,
    images: int = 128,
    seed: int = 0,
    device: str | None = None,
    legality: str = "calibrated",
    tolerance: float = 1.0,
    calibration: Path | str | None = None,
    weights: Path | str | None = None,
    store: Path | str | None = None,
    retry_failures: bool = False,
    kernels: Path | str | None = None,
    workers: int | None = None,
    ray: str | None = None,
    progress: Progress | None = None,
    callbacks: Sequence[Callback] = (),
    command: str = "loopwright.optimize",
) -> Optimized:
    """Finds a network of the same kind that is faster on ``target``, and writes it to the new folder ``out``.

    ``precision`` is what products are computed in, as for `compile`.

    ``model`` is a registered name, ``file.py:factory``, ``package.module:factory``, or a module; ``example_input`` is
    an input (N, C, H, W) or its shape, which registered models have themselves. ``data`` is a folder of image Parquet
    files, of which ``images`` training images judge the candidates (without it, the packaged CIFAR-10 sample).
    ``strategy`` (`docs/search.md`) looks among the ``operators`` that promise to be fastest, which are timed; it draws
    at most ``configurations`` of the network with ``seed``, and after ``seconds`` (without it, never) takes the best
    that it has. The result has at most the share ``parameters`` of the original's. ``device`` is where PyTorch scores
    them: ``cpu``, ``cuda``, ``cuda:1`` (without it, the GPU that is the ``target``, or the processor); a GPU scores
    every one on all images. ``legality`` says what may be lost:
    ``calibrated`` holds the accuracy that is predicted for a network to ``tolerance`` points below the original's, as
    learnt from the trained networks of the table ``calibration`` (without it, the packaged one), ``fisher`` the Fisher
    Potential to the original's. ``weights`` are the trained weights of ``model``: a state_dict, a safetensors file, or
    a folder that `loopwright.train` wrote. Candidates are judged as ``model`` is, and the result begins with those of
    the weights that it still reads. ``store`` keeps timings and verdicts: a file, or a PostgreSQL address as text
    (without it, a file in the user's cache folder). What could not be timed in an earlier run is left out, or with
    ``retry_failures`` tried again. The folder ``kernels`` keeps what is built for a GPU, and may have kernels that
    `build` made elsewhere. ``workers`` processes judge (one for each processor), of this machine or of the Ray
    cluster ``ray``: HOST:PORT, ``local`` for one that is started here, ``auto`` for the one that runs here. Each of
    ``callbacks`` is called with every `loopwright.search.events.Event`; what it raises ends the run and is raised here.

    Raises `LoopwrightError`, of which the message says what would be right. Where the input is wrong, ``out`` is not
    made; a run that ends in any other way before its end is gone on with by `resume`.
    """
    folder = None if out is None else Path(out)
    if folder is not None:
        require_free(folder)
    device = device or ("cpu" if targets.named(target).gpu is None else "cuda")
    arguments = RunArguments(
        target, _text(data), configurations, images, seed, device, legality, tolerance, _text(calibration),
        strategy, operators, seconds, parameters, _text(weights), precision,
    )  # fmt: skip
    inputs = _Inputs.of(model, example_input, arguments)
    kept = None if kernels is None else kernel_folder(kernels, inputs.hardware)
    how = _Conduct(workers, ray, retry_failures, kept, progress, tuple(callbacks))
    where = store or default_path()
    with ExitStack() as open_things:
        opened = open_things.enter_context(Store.open(where))
        run = None if folder is None else open_things.enter_context(new_run(folder, inputs.request(where, command)))
        return _optimized(inputs, opened, command, run, how)


def resume(
    folder: Path | str,
    module: nn.Module | None = None,
    *,
    store: Path | str | None = None,
    workers: int | None = None,
    ray: str | None = None,
    retry_failures: bool = False,
    kernels: Path | str | None = None,
    progress: Progress | None = None,
    callbacks: Sequence[Callback] = (),
) -> Optimized:
    """Goes on with the run in ``folder`` that `optimize` began and did not finish, whatever ended it. Nothing is judged
    or timed again, and the result is what it would have been.

    ``module`` is the network, as it was given to `optimize`, where that was a module. ``store`` is where the run's
    timings and verdicts are now, if they were moved or its address has a password, which the folder does not keep. The
    others are as for `optimize`.

    Raises `LoopwrightError`: for a folder whose run is finished or is at work, or where network or images are no longer
    what they were.
    """
    with resumed_run(Path(folder)) as run:
        request = run.state.request
        _require_same_place(request, run.path)
        if module is None and not request.model:
            raise ArgumentError(
                f"the run in {folder} is of a module in Python; go on with loopwright.resume({str(folder)!r}, module)"
            )
        inputs = _Inputs.of(request.model or module, request.input_shape, request.arguments)
        _require_same_inputs(request, inputs, run.path)
        kept = None if kernels is None else kernel_folder(kernels, inputs.hardware)
        how = _Conduct(workers, ray, retry_failures, kept, progress, tuple(callbacks))
        where = store or request.store
        with Store.open(where) as opened:
            run.go_on(_written(where))
            return _optimized(inputs, opened, request.command, run, how)


@dataclass(frozen=True, eq=False)
class _Conduct:
    """How a run goes, whatever it is of; the result does not depend on it."""

    workers: int | None
    ray: str | None
    retry_failures: bool
    kernels: Path | None
    progress: Progress | None
    callbacks: tuple[Callback, ...]

    @contextmanager
    def crew(self, progress: Progress) -> Iterator[Crew | None]:
        """Where candidates are judged; the connection to a cluster is open inside."""
        if self.ray is None:
            yield None if self.workers is None else LocalCrew(self.workers)
            return
        with RayCrew.connect(self.ray, self.workers) as crew:
            progress.note(str(crew))
            yield crew


def _optimized(inputs: _Inputs, store: Store, command: str, run: RunFolder | None, how: _Conduct) -> Optimized:
    stages, arguments = Stages.watched(how.progress, how.callbacks), inputs.arguments
    _require_processor(arguments.device, how.workers, how.ray)
    with stages.stage("Trace"):
        network = inputs.source.traced()
        stages.progress.traced(network)
    keep = nowhere if run is None else run.timings
    with how.crew(stages.progress) as crew:
        settings = replace(inputs.settings, retry_failures=how.retry_failures, crew=crew, kernels=how.kernels)
        outcome = run_search(network, inputs.minibatch, inputs.hardware, store, settings, stages, keep, inputs.trained)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    about = RunInputs(command, created, __version__, inputs.hardware.label, arguments.seed, settings.shortlist)
    summary = summary_of(outcome, about, stages.seconds)
    if arguments.weights is not None:
        summary = replace(summary, notes=(*summary.notes, f"weights inherited from {arguments.weights}"))
    if run is not None:
        if run.state.resumed:
            times = "once" if run.state.resumed == 1 else f"{run.state.resumed} times"
            note = f"this run was ended and went on {times}; the times of its stages are those since then"
            summary = replace(summary, notes=(*summary.notes, note))
        with run.result() as staged:
            _write(staged, inputs.model, outcome, summary)
    return Optimized(outcome.module, outcome.compiled, summary, None if run is None else run.path)


def _require_processor(device: str, workers: int | None, ray: str | None) -> None:
    """Raises `ArgumentError` where candidates are scored on a GPU and workers are asked for, or not even one is."""
    if device != "cpu" and (workers or ray):
        raise ArgumentError(f"workers score on processors; leave out device={device} or the workers")
    if workers is not None and workers < 1:
        raise ArgumentError(f"workers={workers}; at least one has to judge")


@dataclass(frozen=True, eq=False)
class _Inputs:
    """What a run starts from, checked and loaded. ``model`` is empty for a module in Python."""

    model: str
    source: GivenNetwork
    hardware: Target
    minibatch: Minibatch
    arguments: RunArguments
    settings: Settings
    trained: nn.Module | None

    @classmethod
    def of(
        cls, model: str | nn.Module | None, example_input: torch.Tensor | Sequence[int] | None, arguments: RunArguments
    ) -> _Inputs:
        """Raises `LoopwrightError` for what can't be used."""
        hardware = targets.named(arguments.target, precision=arguments.precision)
        require_runnable(hardware)
        require_device(arguments.device)
        settings = _settings(arguments)
        assert model is not None
        source = GivenNetwork.of(model, example_input, arguments.seed)
        minibatch = load_minibatch(arguments.data, arguments.images, arguments.seed, source.input_shape)
        trained = None if arguments.weights is None else with_weights(source.module, arguments.weights)
        return cls(model if isinstance(model, str) else "", source, hardware, minibatch, arguments, settings, trained)

    def request(self, store: Path | str, command: str) -> RunRequest:
        """The run as text."""
        return RunRequest(
            self.model,
            self.source.input_shape,
            self.arguments,
            _written(store),
            command,
            str(Path.cwd()),
            fingerprint(self.source.module),
            self.minibatch.fingerprint,
            "" if self.trained is None else fingerprint(self.trained),
            self.settings.capacity.fingerprint,
        )


def _settings(arguments: RunArguments) -> Settings:
    """Raises `LoopwrightError` for what no search can be given."""
    strategies.named(arguments.strategy)
    table = shipped() if arguments.calibration is None else Table.read(Path(arguments.calibration))
    return Settings(
        arguments.strategy,
        Budget(arguments.configurations, arguments.operators, arguments.seconds),
        arguments.seed,
        device=arguments.device,
        capacity=CapacityCheck(arguments.legality, arguments.tolerance, table),
        parameters=arguments.parameters,
    )


def _text(path: Path | str | None) -> str | None:
    return None if path is None else str(path)


def _written(store: Path | str) -> str:
    """The store as a run's folder names it: an absolute path, or an address without password."""
    address = located(store)
    return str(address.absolute()) if isinstance(address, Path) else shown(address)


def _require_same_place(request: RunRequest, folder: Path) -> None:
    """Raises `ArgumentError` where a file was named relative to another directory."""
    module = request.model.rpartition(":")[0]
    arguments = request.arguments
    named = (module if module.endswith(".py") else None, arguments.data, arguments.calibration, arguments.weights)
    relative = next((name for name in named if name and not Path(name).is_absolute()), None)
    if relative is not None and str(Path.cwd()) != request.directory:
        raise ArgumentError(f"the run in {folder} is of {relative} in {request.directory}; go on with it there")


def _require_same_inputs(request: RunRequest, inputs: _Inputs, folder: Path) -> None:
    """Raises `ArgumentError` where network or images are others than those that the run began with."""
    found = inputs.request("", "")
    for what, before, now in (
        ("another network", request.network, found.network),
        ("other images", request.minibatch, found.minibatch),
        ("other weights", request.trained, found.trained),
        # folders of older versions don't name their table
        ("another table of trained networks", request.calibration or found.calibration, found.calibration),
    ):
        if before != now:
            raise ArgumentError(f"the run in {folder} began with {what}; optimize again into a new folder")


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
