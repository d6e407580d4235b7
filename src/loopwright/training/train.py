"""Training a network, from Python: `train` and `resume_training`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from math import isfinite
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from torch import nn

from loopwright.errors import ArgumentError, TrainingError
from loopwright.models.devices import device_name, require_device
from loopwright.models.seeding import seeded
from loopwright.report.folder import require_free
from loopwright.search.deliver import SPEC
from loopwright.search.events import Callback, EpochTrained
from loopwright.search.judge import fingerprint
from loopwright.search.progress import Progress
from loopwright.search.run_folder import how_to_resume_training
from loopwright.search.stages import Stages
from loopwright.training.accuracy import EVALUATED, accuracy
from loopwright.training.classes import class_count, require_same
from loopwright.training.curve import EpochFigures
from loopwright.training.folder import (
    TrainingArguments,
    TrainingFolder,
    TrainingRequest,
    new_training,
    require_none_unfinished,
    resumed_training,
)
from loopwright.training.images import Images, load, load_whole
from loopwright.training.loop import Loop
from loopwright.training.schedule import FullSchedule
from loopwright.training.step import Teacher, arithmetic, repeatable
from loopwright.training.subject import Subject, require_folder_without_input

CHECKPOINT_EVERY_S = 30.0
TOLD_EVERY_S = 0.25
BATCH, RATE_AN_IMAGE = 256, 0.1 / 128
"""Without another one, the highest learning rate is so much for each image of a batch."""


@dataclass(frozen=True, eq=False)
class Trained:
    """The trained module, on the CPU; its ``accuracy`` in percent of the ``images`` named so; the curve; and the folder
    that it was written to, if any."""

    module: nn.Module
    accuracy: float
    images: str
    curve: tuple[EpochFigures, ...]
    folder: Path | None

    def __repr__(self) -> str:
        where = f" in {self.folder}" if self.folder else ""
        return f"<Trained for {len(self.curve)} epochs, {self.accuracy:.2f} % of {self.images}{where}>"


def train(
    model: str | Path | nn.Module,
    example_input: torch.Tensor | Sequence[int] | None = None,
    *,
    data: Path | str,
    epochs: int,
    device: str = "cpu",
    weights: Path | str | None = None,
    distill: Path | str | None = None,
    batch: int = BATCH,
    rate: float | None = None,
    cutout: int = 0,
    seed: int = 0,
    out: Path | str | None = None,
    original: nn.Module | None = None,
    validate: bool = False,
    resize: bool = False,
    progress: Progress | None = None,
    callbacks: Sequence[Callback] = (),
) -> Trained:
    """Trains a network on ``device``, measures its accuracy on the test images, and writes it to a folder.

    ``model`` is a folder that `optimize` or this function wrote, of which the weights are replaced at the end; or a
    name or a module with its ``example_input``, as for `optimize`, which is written to the new folder ``out``. In a
    folder, `resume_training` goes on with a training that was ended. ``original`` is the network that was given to
    `optimize`, for a folder of which that was a module; modules stay as they are.

    ``data`` is a folder of image Parquet files, training and test images. With ``validate``, a tenth of the training
    images is held out, and the accuracy is theirs; test images are not looked at. With ``resize``, images of another
    size than the network's input are resized.

    ``weights`` (a file or a folder) are those to begin with. For a changed network they may be the original's: it
    inherits those that it still reads. ``distill`` names a teacher: a folder, or the trained weights of the original.
    The learning rate rises to ``rate`` and falls to zero; by default it is 0.1 for a ``batch`` of 128, and as much more
    as the batch is larger. ``cutout`` is the side in pixels of a square that is cut out of every training image.
    ``seed`` draws initial weights, order and augmentation. Each of ``callbacks`` is called with every
    `loopwright.search.events.Event`.

    Raises `LoopwrightError`, of which the message says what would be right, and leaves no folder then unless there is
    something to go on from.
    """
    arguments = TrainingArguments(
        _absolute(data),
        epochs,
        batch,
        RATE_AN_IMAGE * batch if rate is None else rate,
        cutout,
        seed,
        device,
        None if weights is None else _absolute(weights),
        None if distill is None else _absolute(distill),
        validate,
        resize,
    )
    _require_possible(arguments)
    stages = Stages.watched(progress, callbacks)
    folder = None if out is None else Path(out)
    with stages.stage("Load"):
        if not isinstance(model, nn.Module) and Path(model).is_dir():
            require_folder_without_input(example_input, folder)
            folder = Path(model)
            require_none_unfinished(folder)
            subject = Subject.of_folder(folder, original)
        else:
            if folder is not None:
                require_free(folder)
            subject = Subject.of_model(model if isinstance(model, nn.Module) else str(model), example_input, seed)
        inputs = _Inputs.of(subject, arguments)
    with ExitStack() as open_things:
        work = None if folder is None else open_things.enter_context(new_training(folder, inputs.request))
        return _trained(inputs, work, stages)


def resume_training(
    folder: Path | str,
    module: nn.Module | None = None,
    *,
    data: Path | str | None = None,
    progress: Progress | None = None,
    callbacks: Sequence[Callback] = (),
) -> Trained:
    """Goes on with the training in ``folder`` that `train` began and did not finish, whatever ended it. The curve and
    the weights are what they would have been.

    ``module`` is the network, as it was given to `train` (or to `optimize`), where that was a module. ``data`` is where
    the images are now, if they were moved.

    Raises `LoopwrightError`: for a folder that holds no such training, a checkpoint that is damaged or another's, or
    where network, images or weights are no longer what they were.
    """
    stages = Stages.watched(progress, callbacks)
    with resumed_training(Path(folder)) as work:
        request = work.request
        arguments = request.arguments if data is None else replace(request.arguments, data=_absolute(data))
        state = work.read_checkpoint()
        with stages.stage("Load"):
            require_device(arguments.device)
            inputs = _Inputs.of(_subject(work, module), arguments, begun=state is not None)
        _require_same(request, inputs.request, work.path, begun=state is not None)
        work.request = replace(request, arguments=arguments)
        work.begin()
        return _trained(inputs, work, stages, state)


def _subject(work: TrainingFolder, module: nn.Module | None) -> Subject:
    request = work.request
    if (work.path / SPEC).is_file():
        return Subject.of_folder(work.path, module)
    if module is None and not request.model:
        raise ArgumentError(
            f"the training in {work.path} is of a module in Python; go on with "
            f"loopwright.resume_training({str(work.path)!r}, module)"
        )
    return Subject.of_model(request.model or module or "", request.input_shape, request.arguments.seed)


@dataclass(frozen=True, eq=False)
class _Inputs:
    """What a training starts from, checked and loaded."""

    subject: Subject
    train: Images
    test: Images
    teacher: nn.Module | None
    arguments: TrainingArguments
    request: TrainingRequest

    @classmethod
    def of(cls, subject: Subject, arguments: TrainingArguments, begun: bool = False) -> _Inputs:
        """Raises `LoopwrightError` for what can't be used. The weights of a training that has ``begun`` are in its
        checkpoint."""
        device, data = torch.device(arguments.device), Path(arguments.data)
        classes = class_count(subject.module, subject.spec.input_shape)
        shape, resize = subject.spec.input_shape, arguments.resize
        if arguments.validate:
            train, test = load(data, device, shape, resize=resize)
        else:
            train, test = load_whole(data, device, shape, resize=resize)
        require_same(classes, train, test)
        if arguments.weights is not None and not begun:
            subject = subject.with_weights(Path(arguments.weights), train)
        teacher = None if arguments.distill is None else subject.teacher(Path(arguments.distill))
        if teacher is not None and (taught := class_count(teacher, shape)) != classes:
            raise ArgumentError(f"the teacher has {taught} classes, the network {classes}; both have to agree")
        request = TrainingRequest(
            subject.spec.model,
            subject.spec.input_shape,
            arguments,
            subject.structure,
            fingerprint(subject.module),
            f"{train.fingerprint} {test.fingerprint}",
            "" if teacher is None else fingerprint(teacher),
            f"{arithmetic(device)} on {device.type}".removeprefix("torch."),
        )
        return cls(subject, train, test, teacher, arguments, request)

    @property
    def evaluated(self) -> str:
        """The images that the accuracy is of."""
        return f"{len(self.test):,} {'held-out training' if self.arguments.validate else 'test'} images"

    def loop(self) -> Loop:
        """The training at its first step."""
        own = self.arguments
        return Loop(
            self.subject.module,
            self.train,
            FullSchedule(own.epochs, own.batch, own.rate),
            own.seed,
            cutout=own.cutout,
            teacher=None if self.teacher is None else Teacher(self.teacher),
        )


def _trained(
    inputs: _Inputs, work: TrainingFolder | None, stages: Stages, state: dict[str, Any] | None = None
) -> Trained:
    own, device = inputs.arguments, torch.device(inputs.arguments.device)
    try:
        with seeded(own.seed, [device]), repeatable(device):
            loop = inputs.loop()
            curve = [] if state is None else [EpochFigures(**row) for row in state["curve"]]
            if state is not None:
                loop.load_state(state["loop"])
            with stages.stage("Train", loop.steps) as progress:
                _run(loop, curve, own.epochs, progress, None if work is None else work.save)
        with stages.stage("Evaluate"):
            reached = accuracy(loop.module, inputs.test, min(own.batch, EVALUATED))
    except torch.OutOfMemoryError as error:
        if work is not None and work.read_checkpoint() is not None:
            how = f"once more of it is free, go on with {how_to_resume_training(work.path)}"
        else:
            how = "give a smaller batch (--batch)"
            if work is not None:
                work.discard()
        raise TrainingError(f"the memory of {own.device} does not suffice; {how}") from error
    except TrainingError:
        if work is not None:
            work.discard()
        raise
    module = loop.module.cpu()
    if work is not None:
        work.finish(inputs.subject.spec, module, curve, _result(inputs, reached, curve))
    return Trained(module, reached, inputs.evaluated, tuple(curve), None if work is None else work.path)


def _run(
    loop: Loop,
    curve: list[EpochFigures],
    epochs: int,
    progress: Progress,
    save: Callable[[dict[str, Any]], None] | None,
) -> None:
    """Takes the steps that are left and adds to the curve; ``save`` is given the state now and then.

    Raises `TrainingError` where the loss is no number any more.
    """
    first, begin = loop.done, monotonic()
    saved, told = begin, begin
    waiting = loop.done
    for done in loop:
        waiting += 1
        if monotonic() - told >= TOLD_EVERY_S or done == loop.steps:
            progress.advance(waiting)
            waiting, told = 0, monotonic()
        if done % loop.steps_an_epoch == 0:
            row = EpochFigures(len(curve) + 1, done, loop.rate(done - 1), _loss(loop, epochs), loop.accuracy)
            curve.append(row)
            left = (monotonic() - begin) / (done - first) * (loop.steps - done)
            progress.happened(EpochTrained(row.epoch, epochs, row.rate, row.loss, row.accuracy, left))
        if save is not None and (monotonic() - saved >= CHECKPOINT_EVERY_S or done == loop.steps):
            _loss(loop, epochs)
            save({"loop": loop.state(), "curve": [asdict(row) for row in curve]})
            saved = monotonic()


def _loss(loop: Loop, epochs: int) -> float:
    """The loss of the present epoch, if it is a number."""
    loss = loop.loss
    if not isfinite(loss):
        epoch = (loop.done - 1) // loop.steps_an_epoch + 1
        raise TrainingError(f"the loss is no number in epoch {epoch} of {epochs}; train with a lower rate (--rate)")
    return loss


def _result(inputs: _Inputs, reached: float, curve: Sequence[EpochFigures]) -> dict[str, Any]:
    device = torch.device(inputs.arguments.device)
    return {
        "accuracy": reached,
        "evaluated_on": inputs.evaluated,
        "train_loss": curve[-1].loss,
        "normalisation": asdict(inputs.train.normalisation),
        "device": device_name(device),
        "arithmetic": inputs.request.arithmetic,
        "torch": torch.__version__,
    }


def _require_possible(arguments: TrainingArguments) -> None:
    """Raises `ArgumentError` for numbers that train nothing."""
    require_device(arguments.device)
    if arguments.epochs < 1:
        raise ArgumentError(f"{arguments.epochs} epochs train nothing; give at least 1")
    if arguments.batch < 2:
        raise ArgumentError(f"a batch of {arguments.batch} is too small; give at least 2")
    if not (isfinite(arguments.rate) and arguments.rate > 0):
        raise ArgumentError(f"a rate of {arguments.rate:g} is none; give a positive number")
    if arguments.cutout < 0:
        raise ArgumentError(f"a cutout of {arguments.cutout} pixels is none; give 0 or more")


def _require_same(request: TrainingRequest, found: TrainingRequest, folder: Path, begun: bool) -> None:
    """Raises `ArgumentError` where something is other than what the training began with."""
    for what, before, now in (
        ("another network", request.structure, found.structure),
        ("other images", request.images, found.images),
        ("another teacher", request.teacher, found.teacher),
        (f"other arithmetic ({request.arithmetic})", request.arithmetic, found.arithmetic),
        ("other weights", request.initial, request.initial if begun else found.initial),
    ):
        if before != now:
            raise ArgumentError(f"the training in {folder} began with {what}; train again")


def _absolute(path: Path | str) -> str:
    return str(Path(path).absolute())
