"""One training for Figure 4, in the process that the device is of."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile
from statistics import median
from time import monotonic

from loopwright.search.deliver import SPEC, WEIGHTS, NetworkSpec, built, save
from loopwright.search.events import EpochTrained, Event
from loopwright.search.run_folder import is_in_training
from loopwright.training.folder import CURVE, RESULT
from loopwright.training.train import BATCH, resume_training, train

SCRATCH = "scratch"
WORK, CURVES = "trainings", "curves"


def training_name(label: str, start: str, seed: int) -> str:
    """Of a training's folder, curve and row."""
    return f"{label}-{start}-{seed}"


@dataclass(frozen=True)
class Recipe:
    """How all are trained: so many ``epochs``, in steps of ``batch`` images, of each of which a square with sides of
    ``cutout`` pixels is cut out."""

    epochs: int = 40
    batch: int = BATCH
    cutout: int = 0

    def __str__(self) -> str:
        return f"{self.epochs} epochs, batch {self.batch}, cutout {self.cutout}"


@dataclass(frozen=True, eq=False)
class Training:
    """A training of the network ``label``: from scratch, or from the weights of the network ``start``, trained from
    scratch with the same ``seed``; that one teaches it as well if it is ``distilled``."""

    label: str
    spec: NetworkSpec
    recipe: Recipe
    seed: int
    start: str = SCRATCH
    distilled: bool = False

    @property
    def name(self) -> str:
        return training_name(self.label, self.start, self.seed)

    @property
    def teacher(self) -> str:
        """The network that teaches it, if any."""
        return self.start if self.distilled else ""

    def follows(self, other: Training) -> bool:
        """Whether it begins with the weights that ``other`` ends with."""
        return (self.start, self.seed, SCRATCH) == (other.label, other.seed, other.start)


@dataclass(frozen=True)
class Outcome:
    """What came of it; ``epoch_s`` is the median over the epochs."""

    accuracy: float
    evaluated_on: str
    train_loss: float
    epoch_s: float
    device: str
    torch: str


def run_training(out: Path, data: Path, training: Training, device: str) -> Outcome:
    """Trains in ``OUT/trainings/NAME`` and keeps the curve as ``OUT/curves/NAME.csv``; goes on where there is a part.

    Raises what `loopwright.train` raises.
    """
    folder, pace = out / WORK / training.name, Pace()
    if is_in_training(folder):
        resume_training(folder, data=data, callbacks=[pace])
    elif not (folder / RESULT).is_file():
        _begin(out, folder, training, data, device, pace)
    (out / CURVES).mkdir(exist_ok=True)
    copyfile(folder / CURVE, out / CURVES / f"{training.name}.csv")
    result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    found = {name: result[name] for name in ("accuracy", "evaluated_on", "train_loss", "device", "torch")}
    return Outcome(epoch_s=pace.epoch_s, **found)


def _begin(out: Path, folder: Path, training: Training, data: Path, device: str, pace: Pace) -> None:
    spec, recipe, weights = training.spec, training.recipe, None
    if training.start != SCRATCH:
        weights = out / WORK / training_name(training.start, SCRATCH, training.seed) / WEIGHTS
    folder.parent.mkdir(parents=True, exist_ok=True)
    if spec.layers and not (folder / SPEC).is_file():
        folder.mkdir(exist_ok=True)
        save(folder, spec, built(spec, seed=training.seed)[1])
    train(
        folder if spec.layers else spec.model,
        None if spec.layers else spec.input_shape,
        out=None if spec.layers else folder,
        data=data,
        epochs=recipe.epochs,
        batch=recipe.batch,
        cutout=recipe.cutout,
        device=device,
        weights=weights,
        distill=weights if training.distilled else None,
        seed=training.seed,
        callbacks=[pace],
    )


class Pace:
    """Told about every epoch, it knows how long they take; 0 before the second."""

    def __init__(self) -> None:
        self._ended: list[float] = []

    def __call__(self, event: Event) -> None:
        if isinstance(event, EpochTrained):
            self._ended.append(monotonic())

    @property
    def epoch_s(self) -> float:
        spans = [after - before for before, after in zip(self._ended, self._ended[1:], strict=False)]
        return median(spans) if spans else 0.0
