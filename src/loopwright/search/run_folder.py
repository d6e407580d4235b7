"""The folder of a run, which exists from its start: a run that was ended at any moment goes on from it.

``run.json`` says what was asked for, and whether the run is finished. Verdicts and timings of operators are in the
store; what belongs to this run alone lies in ``.unfinished`` until the end. Then the results are moved into the folder,
and ``run.json`` is replaced: only that makes them a result, so that there is never half of one.
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from safetensors import SafetensorError

from loopwright import __version__
from loopwright.errors import ArgumentError, DataError, LoopwrightError, StoreError, TraceError
from loopwright.files import write_atomically
from loopwright.measurement.timer import Measurement, Protocol
from loopwright.search.budget import OPERATORS
from loopwright.targets.target import FLOAT32

RUN, UNFINISHED = "run.json", ".unfinished"
TRAINING, REQUEST = ".training", "request.json"
"""A training that is not finished keeps its work in the folder ``TRAINING``, and what was asked for in ``REQUEST``."""
FORMAT = 1
INPUT_ERRORS = (ArgumentError, TraceError, DataError)
"""What ends a run before there is anything to go on from: the same arguments would end the next one as well."""

LOCK_PATIENCE_S = 3.0
"""Processes that a killed run had started hold its lock until they have ended as well."""


@dataclass(frozen=True)
class RunArguments:
    """What `optimize` was given, but for the network, the store and the folder; files as they were named."""

    target: str = "cpu"
    data: str | None = None
    configurations: int = 1000
    images: int = 128
    seed: int = 0
    device: str = "cpu"
    legality: str = "calibrated"
    tolerance: float = 1.0
    calibration: str | None = None
    strategy: str = "exact"
    operators: int = OPERATORS
    seconds: float | None = None
    parameters: float = 1.0
    weights: str | None = None
    precision: str = FLOAT32


@dataclass(frozen=True)
class RunRequest:
    """A run as text. ``model`` is empty where the network was given as a module in Python. ``store`` is a path or an
    address, without password; ``directory`` is where the command was given. ``network``, ``minibatch`` and ``trained``
    are the fingerprints of the initial network, of the images, and of the network with the trained weights, if any were
    given, ``calibration`` that of the table that the calibrated check has learnt from: a run goes on with the same
    only."""

    model: str
    input_shape: tuple[int, ...]
    arguments: RunArguments
    store: str
    command: str
    directory: str
    network: str
    minibatch: str
    trained: str = ""
    calibration: str = ""


@dataclass(frozen=True)
class RunState:
    """The content of ``run.json``; ``resumed`` counts how often the run went on."""

    request: RunRequest
    finished: bool = False
    resumed: int = 0

    def to_json(self) -> str:
        return json.dumps({"format": FORMAT, "loopwright": __version__, **asdict(self)}, indent=2) + "\n"

    @classmethod
    def read(cls, folder: Path) -> RunState | None:
        """The state of the run in ``folder``; None where there is none, as in those of older versions.

        Raises `ArgumentError` for a file that is damaged, or of a newer version.
        """
        path = folder / RUN
        try:
            text = path.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise ArgumentError(f"{path} can't be read ({error})") from error
        try:
            state: dict[str, Any] = json.loads(text)
            if state["format"] > FORMAT:
                raise ArgumentError(
                    f"{path} has format {state['format']}, this version reads {FORMAT}; upgrade Loopwright"
                )
            request = state["request"]
            arguments = RunArguments(**request["arguments"])
            request = RunRequest(**{**request, "input_shape": tuple(request["input_shape"]), "arguments": arguments})
            return cls(request, bool(state["finished"]), int(state["resumed"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ArgumentError(f"{path} is damaged ({error}); optimize again into a new folder") from error


def how_to_resume(folder: Path) -> str:
    """The command that goes on with the run in ``folder``."""
    return f"loopwright optimize --resume {shlex.quote(str(folder))}"


def require_finished(folder: Path) -> None:
    """Raises `ArgumentError` for the folder of a run that is not finished."""
    state = RunState.read(folder)
    if state is not None and not state.finished:
        raise ArgumentError(f"the run in {folder} is not finished; go on with {how_to_resume(folder)}")


def is_in_training(folder: Path) -> bool:
    """Whether ``folder`` holds a training that is not finished."""
    return (folder / TRAINING / REQUEST).is_file()


def how_to_resume_training(folder: Path) -> str:
    """The command that goes on with the training in ``folder``."""
    return f"loopwright train --resume {shlex.quote(str(folder))}"


class RunFolder:
    """The folder ``path`` of a run that this process works on, and nobody else."""

    def __init__(self, path: Path, state: RunState):
        self.path, self.state = path, state
        self._work = path / UNFINISHED

    def go_on(self, store: str) -> None:
        """Notes that the run goes on, with what is in ``store``."""
        with self._writing():
            for half in self.path.glob(f".{RUN}.*"):  # what `write_atomically` was writing when the run was ended
                half.unlink()
            request = replace(self.state.request, store=store)
            self._save(replace(self.state, request=request, resumed=self.state.resumed + 1))

    def timings(self, key: Sequence[str], take: Callable[[], list[Measurement]]) -> list[Measurement]:
        """The timings that ``take`` took in this run, whenever that was; ``key`` says of what they are."""
        path = self._work / "finalists.json"
        with suppress(OSError, ValueError, KeyError, TypeError):  # not taken yet
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept["key"] == list(key):
                return [Measurement(tuple(own["samples_ms"]), Protocol(**own["protocol"])) for own in kept["timings"]]
        taken = take()
        with self._writing():
            self._work.mkdir(exist_ok=True)
            write_atomically(path, json.dumps({"key": list(key), "timings": [asdict(own) for own in taken]}))
        return taken

    @contextmanager
    def result(self) -> Iterator[Path]:
        """A folder to write the results to; at the end they are this folder's, all at once."""
        staged = self._work / "result"
        with self._writing():
            shutil.rmtree(staged, ignore_errors=True)
            staged.mkdir(parents=True)
            yield staged
            for written in sorted(staged.iterdir()):
                _move(written, self.path / written.name)
            self._save(replace(self.state, finished=True))
        shutil.rmtree(self._work, ignore_errors=True)

    def _save(self, state: RunState) -> None:
        write_atomically(self.path / RUN, state.to_json())
        self.state = state

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Inside, whatever can't be written is a `StoreError`."""
        try:
            yield
        except (OSError, SafetensorError, ArgumentError) as error:
            reason = str(error).splitlines()[0]
            raise StoreError(
                f"the run's folder can't be written: {reason}; free some space, or mend its permissions"
            ) from error


@contextmanager
def new_run(out: Path, request: RunRequest) -> Iterator[RunFolder]:
    """Makes ``out``, the folder of a new run. What is wrong with the input leaves nothing of it; any other error keeps
    it and says how to go on.

    Raises `ArgumentError` where ``out`` can't be made.
    """
    state = RunState(request)
    missing = [parent for parent in out.parents if not parent.exists()]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise _cannot_be_made(out, error) from error
    try:
        with locked(staged, out), _telling_how_to_resume(out):
            try:
                write_atomically(staged / RUN, state.to_json())
                staged.chmod(0o755)
                staged.rename(out)
            except OSError as error:
                raise _cannot_be_made(out, error) from error
            try:
                yield RunFolder(out, state)
            except INPUT_ERRORS:
                shutil.rmtree(out)
                raise
    finally:
        shutil.rmtree(staged, ignore_errors=True)
        _remove_empty(missing)


@contextmanager
def resumed_run(folder: Path) -> Iterator[RunFolder]:
    """The folder of a run that was ended before its end; `RunFolder.go_on` is for when nothing stands in its way.

    Raises `ArgumentError` where there is no such run, or where another process works on it.
    """
    if not folder.is_dir():
        raise ArgumentError(f"there is no folder {folder}; name one that optimize was given as --out")
    with locked(folder, folder), _telling_how_to_resume(folder):
        state = RunState.read(folder)
        if state is None:
            raise ArgumentError(f"{folder} holds no run that could go on; name one that optimize was given as --out")
        if state.finished:
            raise ArgumentError(f"the run in {folder} is finished; its report is {folder / 'report.html'}")
        yield RunFolder(folder, state)


@contextmanager
def locked(folder: Path, name: Path) -> Iterator[None]:
    """Holds the lock on ``folder`` (which keeps it under another name): the system gives it back when this process has
    ended in any way. Raises `ArgumentError`, calling it ``name``, where another process holds it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        end = monotonic() + LOCK_PATIENCE_S
        while not _lock(descriptor):
            if monotonic() > end:
                raise ArgumentError(f"another process works on {name}; wait for it, or end it")
            sleep(0.05)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _telling_how_to_resume(folder: Path) -> Iterator[None]:
    """Adds to every error that leaves the run's work behind how to go on with it."""
    try:
        yield
    except INPUT_ERRORS:
        raise
    except LoopwrightError as error:
        error.args = (f"{str(error).splitlines()[0]}; then go on with {how_to_resume(folder)}", *error.args[1:])
        raise


def _cannot_be_made(out: Path, error: OSError) -> ArgumentError:
    return ArgumentError(f"{out} can't be made ({error.strerror}); name a folder that you may write to")


def _move(written: Path, place: Path) -> None:
    """Moves a file or a folder to ``place``, where one may be from an attempt that was ended in the middle."""
    if place.is_dir():
        shutil.rmtree(place)
    written.replace(place)


def _remove_empty(folders: list[Path]) -> None:
    """Removes those of ``folders`` (inner ones first) that nothing was put into."""
    for folder in folders:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
