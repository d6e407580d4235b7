"""The folder of a training: what was asked for and the last checkpoint while it is at work, its results at the end.

Until then nothing in the folder changes but the work in ``.training``. The weights, the curve and ``training.json`` are
each replaced at once; ``network.json`` comes last, so a new folder is a result only when all of it is there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from torch import nn

from loopwright import __version__
from loopwright.errors import ArgumentError, StoreError
from loopwright.files import write_atomically
from loopwright.search.deliver import NetworkSpec, save
from loopwright.search.run_folder import REQUEST, TRAINING, how_to_resume_training, is_in_training, locked
from loopwright.training.checkpoint import read_checkpoint, write_checkpoint
from loopwright.training.curve import EpochFigures, to_csv

FORMAT = 1
RESULT, CURVE, CHECKPOINT = "training.json", "training.csv", "checkpoint"


@dataclass(frozen=True)
class TrainingArguments:
    """What `loopwright.train` was given, but for the network and the folder; files by their absolute paths."""

    data: str
    epochs: int
    batch: int = 256
    rate: float = 0.2
    cutout: int = 0
    seed: int = 0
    device: str = "cpu"
    weights: str | None = None
    distill: str | None = None
    validate: bool = False
    resize: bool = False


@dataclass(frozen=True)
class TrainingRequest:
    """A training as text. ``model`` is empty where the network was given as a module in Python. ``structure``,
    ``initial``, ``images`` and ``teacher`` are fingerprints of the network without and with its first weights, of the
    images and of the teacher: a training goes on with the same only, in the same ``arithmetic``. ``resumed`` counts how
    often it went on."""

    model: str
    input_shape: tuple[int, ...]
    arguments: TrainingArguments
    structure: str
    initial: str
    images: str
    teacher: str
    arithmetic: str
    resumed: int = 0

    @property
    def identity(self) -> str:
        """Equal for trainings with the same curve; data may lie elsewhere."""
        same = replace(self, resumed=0, arguments=replace(self.arguments, data=""))
        return sha256(json.dumps(asdict(same)).encode()).hexdigest()

    def to_json(self) -> str:
        """The content of ``request.json``."""
        return json.dumps({"format": FORMAT, "loopwright": __version__, **asdict(self)}, indent=2) + "\n"

    @classmethod
    def read(cls, folder: Path) -> TrainingRequest:
        """Raises `ArgumentError` where ``folder`` holds no training that could go on, or one of a newer version."""
        if not folder.is_dir():
            raise ArgumentError(f"there is no folder {folder}; name one with a training")
        path = folder / TRAINING / REQUEST
        if not path.is_file():
            finished = (folder / RESULT).is_file()
            state = "the training in {} is finished" if finished else "{} holds no training that could go on"
            raise ArgumentError(state.format(folder))
        try:
            request: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if request.pop("format") > FORMAT:
                raise ArgumentError(f"{path} is of version {request['loopwright']}; upgrade Loopwright")
            del request["loopwright"]
            arguments = TrainingArguments(**request.pop("arguments"))
            return cls(**{**request, "input_shape": tuple(request["input_shape"]), "arguments": arguments})
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ArgumentError(f"{path} is damaged ({error}); remove {path.parent} and train again") from error


class TrainingFolder:
    """The folder ``path`` of a training that this process works on, and nobody else. ``made`` says whether the folder
    is there for this training alone."""

    def __init__(self, path: Path, request: TrainingRequest, made: bool):
        self.path, self.request, self._made = path, request, made
        self._work = path / TRAINING

    def read_checkpoint(self) -> dict[str, Any] | None:
        """The last state that was saved, None before the first; errors as `checkpoint.read_checkpoint` raises them."""
        return read_checkpoint(self._work / CHECKPOINT, self.request.identity)

    def begin(self) -> None:
        """Notes what was asked for."""
        with self._writing():
            self._work.mkdir(exist_ok=True)
            for half in self._work.glob(".*"):  # what `write_atomically` was writing when the training was ended
                half.unlink()
            write_atomically(self._work / REQUEST, self.request.to_json())

    def save(self, state: dict[str, Any]) -> None:
        """Keeps the state in place of the one before."""
        with self._writing():
            write_checkpoint(self._work / CHECKPOINT, self.request.identity, state)

    def finish(
        self, spec: NetworkSpec, module: nn.Module, curve: Sequence[EpochFigures], result: dict[str, Any]
    ) -> None:
        """Puts the results in place."""
        content = {
            "format": FORMAT,
            "loopwright": __version__,
            **result,
            "resumed": self.request.resumed,
            "arguments": asdict(self.request.arguments),
        }
        with self._writing():
            write_atomically(self.path / CURVE, to_csv(curve))
            write_atomically(self.path / RESULT, json.dumps(content, indent=2) + "\n")
            save(self.path, spec, module)
        self._remove_work()

    def discard(self) -> None:
        """Leaves the folder as it was before the training."""
        self._remove_work()
        if self._made and not any(self.path.iterdir()):
            self.path.rmdir()

    def _remove_work(self) -> None:
        (self._work / REQUEST).unlink(missing_ok=True)  # first, so that nothing goes on from a part of the rest
        shutil.rmtree(self._work, ignore_errors=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Inside, whatever can't be written is a `StoreError`."""
        try:
            yield
        except (OSError, ArgumentError) as error:
            how = how_to_resume_training(self.path)
            reason = str(error).splitlines()[0]
            raise StoreError(
                f"the training's folder can't be written: {reason}; free some space, then go on with {how}"
            ) from error


@contextmanager
def new_training(folder: Path, request: TrainingRequest) -> Iterator[TrainingFolder]:
    """The folder of a new training, which is made where it is not there.

    Raises `ArgumentError` where it can't be made, or where another training is at work or unfinished.
    """
    made = not (folder.is_dir() and any(folder.iterdir()))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArgumentError(
            f"{folder} can't be made ({error.strerror}); name a folder that you may write to"
        ) from error
    with locked(folder, folder):
        require_none_unfinished(folder)
        shutil.rmtree(folder / TRAINING, ignore_errors=True)
        training = TrainingFolder(folder, request, made)
        training.begin()
        yield training


@contextmanager
def resumed_training(folder: Path) -> Iterator[TrainingFolder]:
    """The folder of a training that was ended before its end; `ArgumentError` where there is none."""
    TrainingRequest.read(folder)
    with locked(folder, folder):
        request = TrainingRequest.read(folder)
        alone = all(path.name == TRAINING for path in folder.iterdir())
        yield TrainingFolder(folder, replace(request, resumed=request.resumed + 1), alone)


def require_none_unfinished(folder: Path) -> None:
    """Raises `ArgumentError` for a folder with a training to go on with."""
    if is_in_training(folder):
        how = how_to_resume_training(folder)
        raise ArgumentError(
            f"{folder} holds a training that is not finished; go on with {how}, or remove {folder / TRAINING}"
        )
