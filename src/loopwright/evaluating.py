"""How often a network is right: in PyTorch, and as it is compiled."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.backends import cudnn

from loopwright.compiling import compile_target, compiled_here
from loopwright.errors import ArgumentError, CompileError
from loopwright.lowering.network import library_input_shape, open_library, output_arrays
from loopwright.lowering.threads import set_threads
from loopwright.measurement.network_agreement import compared_inputs, greatest_difference, tolerance_of
from loopwright.models.devices import require_device
from loopwright.models.images import Normalisation
from loopwright.models.network import Network, Shape
from loopwright.prepared import ExampleInput, prepared, with_batch
from loopwright.report import formats
from loopwright.search.progress import Progress, SilentProgress
from loopwright.search.tuning import Tuning
from loopwright.targets.processors import require_runnable
from loopwright.targets.target import FLOAT32, Target
from loopwright.training.classes import class_count
from loopwright.training.evaluation import EvaluationImages, Form, Predictions, predictions
from loopwright.training.folder import RESULT

AGREEMENT = 0.1
"""Points of accuracy by which a compiled network may differ from PyTorch; of a few images, one."""
MOST_AT_ONCE, PIXELS_AT_ONCE = 250, 2**20
"""Images that PyTorch is given at once, and pixels of them together."""


@dataclass(frozen=True)
class Score:
    """How often one form of a network is right, and how fast it ran, with ``batch`` images at once. ``where`` names the
    device, and the threads or the file of a compiled network."""

    form: str
    where: str
    right: int
    images: int
    batch: int
    images_per_second: float

    @property
    def accuracy(self) -> float:
        """The percentage of the images whose class gets the highest score."""
        return 100 * self.right / self.images

    def __str__(self) -> str:
        speed = formats.significant(self.images_per_second)
        return f"{self.accuracy:.2f} %, {speed} images/s ({self.where}, {self.batch} at once)"


@dataclass(frozen=True)
class Evaluation:
    """``compiled`` is None where only PyTorch was asked; ``different`` counts the images that the two put in different
    classes."""

    network: str
    pytorch: Score
    compiled: Score | None
    different: int
    normalisation: Normalisation

    def __repr__(self) -> str:
        scores = [score for score in (self.pytorch, self.compiled) if score is not None]
        return f"<Evaluation of {self.network}: {'; '.join(f'{score.form} {score}' for score in scores)}>"


def evaluate(
    model: str | Path | nn.Module,
    example_input: ExampleInput | None = None,
    *,
    data: Path | str,
    compiled: bool = True,
    artefact: Path | str | None = None,
    images: int | None = None,
    batch: int | None = None,
    device: str = "cpu",
    target: str = "cpu",
    threads: int | None = None,
    precision: str = FLOAT32,
    tune: bool = True,
    store: Path | str | None = None,
    weights: Path | str | None = None,
    seed: int = 0,
    resize: bool = False,
    normalisation: Normalisation | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """The top-1 accuracy of a network over the test images in ``data``, or ``images`` of them, in PyTorch on ``device``
    and, unless ``compiled`` is off, compiled; with the speed of both.

    ``model``, ``example_input``, ``target``, ``threads``, ``precision``, ``tune``, ``store``, ``weights`` and ``seed``
    are as for `compile`; ``artefact`` is a shared library that was compiled before, in that precision, to be run
    instead. ``batch`` is how many images the compiled network takes at once: without it as many as the network's input
    has, or as the artefact takes. Images are normalised by ``normalisation``, or as the folder's network was trained,
    or by the training images in ``data``; with ``resize`` they may be of another size than the network's input.

    Raises `LoopwrightError`, of which the message says what would be right; `CompileError` where the two accuracies lie
    more than 0.1 points, and more than one image, apart.
    """
    require_device(device)
    hardware = compile_target(target, threads, precision)
    for name, value in (("images", images), ("batch", batch)):
        if value is not None and value < 1:
            raise ArgumentError(f"{name}={value} is too few; give at least 1")
    progress = progress or SilentProgress()
    progress.stage("Load")
    network, module = prepared(model, example_input, seed, weights)
    shown = EvaluationImages.of(
        Path(data),
        network.input_shape,
        class_count(module, network.input_shape),
        most=images,
        normalisation=normalisation or _trained_normalisation(weights or model),
        resize=resize,
    )
    forms = [_in_pytorch(module, network.input_shape, device)]
    if artefact is not None:
        forms.append(_of_artefact(Path(artefact), network, module, hardware, batch))
    elif compiled:
        progress.stage("Compile")
        forms.append(_compiled(network, module, hardware, Tuning(tune, store, progress.advance), batch))
    progress.stage("Evaluate", len(shown))
    with cudnn.flags(enabled=cudnn.enabled, benchmark=False, deterministic=True, allow_tf32=False):
        found = predictions(forms, shown, progress.advance)
    return _agreeing(_evaluation(network.name, found, shown))


def _evaluation(name: str, found: Sequence[Predictions], images: EvaluationImages) -> Evaluation:
    scores = [
        Score(
            own.form.name,
            own.form.where,
            int((own.classes == images.labels).sum()),
            len(images),
            own.form.batch,
            len(images) / own.seconds,
        )
        for own in found
    ]
    different = int((found[0].classes != found[-1].classes).sum())
    return Evaluation(name, scores[0], scores[1] if len(scores) > 1 else None, different, images.normalisation)


def _agreeing(found: Evaluation) -> Evaluation:
    """The same; raises `CompileError` where the two accuracies lie too far apart."""
    if found.compiled is None:
        return found
    points = abs(found.pytorch.accuracy - found.compiled.accuracy)
    if points > AGREEMENT and abs(found.pytorch.right - found.compiled.right) > 1:
        raise CompileError(
            f"{found.network} is right on {found.compiled.accuracy:.2f} % of the images as it is compiled, and on "
            f"{found.pytorch.accuracy:.2f} % in PyTorch (at most {AGREEMENT} points are expected between them, over "
            f"{found.pytorch.images:,} images); please report this with the command that you ran"
        )
    return found


def _trained_normalisation(source: str | Path | nn.Module) -> Normalisation | None:
    """The one that the network in a folder was trained with; None without such a folder."""
    path = None if isinstance(source, nn.Module) else Path(source) / RESULT
    if path is None or not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["normalisation"]
        return Normalisation(tuple(map(float, found["mean"])), tuple(map(float, found["std"])))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArgumentError(f"{path} is damaged ({error}); train again, or remove it") from error


def _in_pytorch(module: nn.Module, input_shape: Shape, device: str) -> Form:
    own = copy.deepcopy(module).to(device).eval()

    @torch.no_grad()
    def run(images: Tensor) -> Tensor:
        return own(images.to(device)).cpu()

    pixels = input_shape[2] * input_shape[3]
    return Form("PyTorch", device, run, max(1, min(MOST_AT_ONCE, PIXELS_AT_ONCE // pixels)))


def _compiled(network: Network, module: nn.Module, target: Target, tuning: Tuning, batch: int | None) -> Form:
    require_runnable(target)
    images = batch or network.input_shape[0]
    found = compiled_here(with_batch(network, images), module, target, tuning)
    return Form("compiled", f"{target.name}, {formats.hardware(target)}", found, images, exactly=True)


def _of_artefact(path: Path, network: Network, module: nn.Module, target: Target, batch: int | None) -> Form:
    """Raises `ArgumentError` for a file that is no library, or one of another network."""
    set_threads(target.threads)
    machine = open_library(path, target)
    shape = library_input_shape(machine)
    wanted = (batch or (shape or network.input_shape)[0], *network.input_shape[1:])
    if shape != wanted:
        takes = "another number of inputs" if shape is None else formats.shape(shape)
        raise ArgumentError(f"{path} takes {takes}, not {formats.shape(wanted)} as {network.name}; compile it again")

    def run(images: Tensor) -> Tensor:
        [scores] = output_arrays(machine.main(machine.tensor(images.numpy())))
        return torch.from_numpy(scores)

    difference = greatest_difference(module, run, compared_inputs(with_batch(network, wanted[0])))
    if not difference <= tolerance_of(target):
        raise ArgumentError(
            f"{path} is not {network.name} with these weights: it differs from PyTorch by {difference:.1e} of the "
            "largest output; compile it again"
        )
    return Form("compiled", f"{path}, {formats.hardware(target)}", run, wanted[0], exactly=True)
