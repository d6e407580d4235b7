"""The Python API: the same as the commands."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
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
from loopwright.models.given import GivenNetwork
from loopwright.models.images import load_minibatch
from loopwright.report.folder import require_free
from loopwright.report.outcome import RunInputs, summary_of
from loopwright.report.page import write_report
from loopwright.report.summary import RunSummary
from loopwright.search.deliver import ChangedLayer, NetworkSpec, load, new_folder, save
from loopwright.search.progress import Progress, SilentProgress
from loopwright.search.run import CapacityCheck, Outcome, Settings, run_search
from loopwright.search.stages import Stages
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
    progress: Progress | None = None,
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
    source = GivenNetwork.of(model, example_input, seed)
    minibatch = load_minibatch(data, images, seed, source.input_shape)
    stages = Stages(progress or SilentProgress())
    with ExitStack() as open_things:
        opened = open_things.enter_context(Store.open(store or default_path()))
        staged = None if folder is None else open_things.enter_context(new_folder(folder))
        with stages.stage("Trace"):
            network = source.traced()
            stages.progress.traced(network)
        table = shipped() if calibration is None else Table.read(Path(calibration))
        settings = Settings(configurations, seed, device=device, capacity=CapacityCheck(legality, tolerance, table))
        outcome = run_search(network, minibatch, hardware, opened, settings, stages)
        created = datetime.now(UTC).isoformat(timespec="seconds")
        inputs = RunInputs(command, created, __version__, target, seed, settings.shortlist)
        summary = summary_of(outcome, inputs, stages.seconds)
        if staged is not None:
            _write(staged, model if isinstance(model, str) else "", outcome, summary)
    return Optimized(outcome.module, outcome.compiled, summary, folder)


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
