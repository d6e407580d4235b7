"""Kernels for a GPU that is elsewhere, from Python."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import nn

from loopwright import targets
from loopwright.measurement.kernel_files import KernelFiles, kernel_folder
from loopwright.models.given import GivenNetwork
from loopwright.search.budget import OPERATORS, Budget
from loopwright.search.progress import Progress, SilentProgress
from loopwright.search.run import Settings, built_ahead, drawn_offer
from loopwright.search.stages import Stages
from loopwright.search.timing import OperatorLatencies
from loopwright.search.tuning import protocol_for
from loopwright.store import Store
from loopwright.targets.nvidia import require_compiler
from loopwright.targets.target import FLOAT32


@dataclass(frozen=True)
class KernelsBuilt:
    """How many kernels a search will ask for, and how many of these are in the folder now; the others could not be
    built."""

    wanted: int
    there: int


def build(
    model: str | nn.Module,
    example_input: torch.Tensor | Sequence[int] | None = None,
    *,
    target: str,
    out: Path | str,
    precision: str = FLOAT32,
    operators: int = OPERATORS,
    seed: int = 0,
    progress: Progress | None = None,
) -> KernelsBuilt:
    """Builds what ``optimize(..., kernels=out)`` will time on a GPU, given the same model, ``precision``, ``operators``
    and ``seed``, on all processors of this machine; no GPU is needed here, but NVIDIA's compiler.

    ``model`` and ``example_input`` are as for `loopwright.optimize`; ``target`` names the GPU, such as
    ``cuda-sm_90``. What is in the folder ``out`` already is not built again. Kernels can be used where processor,
    versions of Loopwright and TVM, and the C library are like those here; others are built there.

    Raises `LoopwrightError`, of which the message says what would be right.
    """
    hardware = targets.named(target, precision=precision)
    folder = kernel_folder(out, hardware)
    require_compiler()
    given, settings = GivenNetwork.of(model, example_input, seed), Settings(budget=Budget(operators=operators))
    stages = Stages(progress or SilentProgress())
    with stages.stage("Trace"):
        network = given.traced()
        stages.progress.traced(network)
    with TemporaryDirectory() as empty, Store.open(Path(empty) / "store.sqlite") as store:  # in which nothing is timed
        images = network.input_shape[0]
        with OperatorLatencies(images, hardware, store, protocol_for(network), kernels=folder) as latencies:
            offer = drawn_offer(network, random.Random(seed), settings, latencies, stages)
            kernels = built_ahead(offer, latencies, stages)
    files = KernelFiles(folder)
    return KernelsBuilt(len(kernels), sum(files.path(own).exists() for own in kernels))
