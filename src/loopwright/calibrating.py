"""A calibrated check for a network and data of one's own, from Python."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from loopwright.errors import ArgumentError
from loopwright.legality.capacity import Table
from loopwright.legality.capacity.predictor import LEAST_NETWORKS
from loopwright.models.devices import require_device
from loopwright.models.given import GivenNetwork
from loopwright.models.images import load_minibatch
from loopwright.models.network import Network
from loopwright.search.deliver import choices_of, read_spec
from loopwright.search.progress import Progress, SilentProgress
from loopwright.search.space import Choice
from loopwright.search.stages import Stages
from loopwright.store import Store, default_path
from loopwright.training.calibration import Settings
from loopwright.training.calibration import calibrate as calibrated
from loopwright.training.images import load
from loopwright.training.schedule import Schedule

SCORED_IMAGES = 32
"""Images that the proxies look at, as for the packaged table."""


def calibrate(
    model: str | nn.Module,
    example_input: torch.Tensor | Sequence[int] | None = None,
    *,
    data: Path | str,
    out: Path | str,
    networks: int = 40,
    include: Sequence[Path | str] = (),
    epochs: int = 4,
    images: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    store: Path | str | None = None,
    progress: Progress | None = None,
) -> Table:
    """Trains ``networks`` candidates of a network for ``epochs`` epochs each, and the original three times, and writes
    to the new file ``out`` what the calibrated check learns from: ``optimize(..., calibration=out)``.

    ``model`` and ``example_input`` are as for `loopwright.optimize`. ``data`` is a folder of image Parquet files; of
    its training images (of at most ``images``) a tenth is held out to measure accuracies on. ``device`` is where is
    trained and scored: ``cpu``, ``cuda``, ... Trainings and scores are kept in ``store``: the same call goes on where
    an interrupted one stopped.

    ``include`` are folders that `loopwright.optimize` wrote for this network. What it chose is trained too and stands
    in the table under the folder's name, so that the check learns from its own choices.

    Raises `LoopwrightError`, of which the message says what would be right; ``out`` is not made then.
    """
    path = Path(out)
    if path.exists():
        raise ArgumentError(f"{path} exists already; name a new file")
    if not path.parent.is_dir():
        raise ArgumentError(f"the folder {path.parent} does not exist; make it, or name another file")
    if networks < LEAST_NETWORKS:
        raise ArgumentError(f"{networks} networks are too few to learn from; train at least {LEAST_NETWORKS}")
    if epochs < 1:
        raise ArgumentError(f"{epochs} epochs train nothing; give at least 1")
    require_device(device)
    given = GivenNetwork.of(model, example_input, seed)
    stages = Stages(progress or SilentProgress())
    minibatch = load_minibatch(data, SCORED_IMAGES, seed, given.input_shape)
    with ExitStack() as open_things:
        opened = open_things.enter_context(Store.open(store or default_path()))
        with stages.stage("Trace"):
            network = given.traced()
            stages.progress.traced(network)
            included = _included(network, include)
            split = load(Path(data), torch.device(device), given.input_shape, images)
        settings = Settings(networks, seed=seed, schedule=replace(Schedule(), epochs=epochs))
        table = calibrated(network, minibatch, split, opened, settings, stages, included)
    if len(table.networks) < LEAST_NETWORKS:
        raise ArgumentError(
            f"only {len(table.networks)} candidates of {network.name} could be trained, and {LEAST_NETWORKS} are needed"
        )
    table.write(path)
    return table


def _included(network: Network, folders: Sequence[Path | str]) -> dict[str, dict[str, Choice]]:
    """By names for the table, of which no two are equal and none is one of the table's own."""
    found: dict[str, dict[str, Choice]] = {}
    for folder in map(Path, folders):
        name, choices = folder.resolve().name, choices_of(network, read_spec(folder))
        if name in found:
            raise ArgumentError(f"two folders to include are named {name!r}; the table needs different names")
        if name == "original" or re.fullmatch(r"n\d+", name) or re.search(r"[\s,]", name):
            raise ArgumentError(
                f"{folder}: {name!r} can't be a name in the table; rename the folder to one without spaces and commas "
                "that is neither 'original' nor n and a number"
            )
        if not choices:
            raise ArgumentError(f"{folder} holds the original network, which is trained anyway; leave it out")
        found[name] = choices
    return found
