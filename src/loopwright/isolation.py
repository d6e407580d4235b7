"""Work that may crash, hang or take all memory, done in a process of its own: a fault there is an exception here.

`Isolated` starts its process afresh (what runs compiled code has threads, which no fork survives) and gives it many
calls, since its imports take seconds; after a fault the next call starts another. `forked` is for work on what can't be
sent to another process.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import subprocess
import sys
import tempfile
import warnings
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from pathlib import Path
from time import monotonic
from typing import IO, Any, ParamSpec, Self, TypeVar

from loopwright.memory import resident_bytes, usable_bytes
from loopwright.processes import end_with_parent, how_it_ended

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

WATCHED_EVERY_S = 0.1
CRASH, TIME, MEMORY = "crash", "time limit", "memory limit"
GIB = 1024**3

STACK_TRACE = ("!!!", 'File "')
"""How the lines begin that TVM writes after a segmentation fault."""

_BOOTSTRAP = "import sys; from loopwright.isolation import serve; serve(int(sys.argv[1]))"


class FaultError(Exception):
    """The work took its process with it, or had to be ended: ``stage`` is ``crash``, ``time limit`` or ``memory
    limit``, the message one line."""

    def __init__(self, stage: str, message: str):
        self.stage = stage
        super().__init__(message)


def half_of_memory() -> int:
    """Half of the bytes of memory that can be used."""
    return usable_bytes() // 2


@dataclass(frozen=True)
class Bounds:
    """What one call may take: ``seconds``, and bytes of resident memory (watched on Linux only)."""

    seconds: float = 180.0
    memory_bytes: int = field(default_factory=half_of_memory)


@dataclass(frozen=True, eq=False)
class _Raised:
    """What the work raised."""

    error: Exception


class Isolated:
    """A process that does one thing at a time; it starts with the first call. A context manager that ends it."""

    def __init__(self, bounds: Bounds | None = None):
        self.bounds = bounds or Bounds()
        self._process: _Fresh | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the process, whatever it is doing; the next call starts a new one."""
        if self._process is not None:
            self._process.end()
            self._process = None

    def call(self, work: Callable[Arguments, Result], *arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
        """``work(*arguments, **named)``; function, arguments and result have to be picklable.

        Raises what the work raises, and `FaultError` where it ends its process or passes the bounds.
        """
        process = self._process = self._process or _Fresh()
        complete = False
        try:
            process.send((work, arguments, named))
            answer = process.answer(self.bounds)
            complete = True
        finally:
            if not complete:  # a fault, or an interrupt of ours
                self.close()
        if isinstance(answer, _Raised):
            raise answer.error
        result: Result = answer
        return result


class _Process(ABC):
    """A process with a connection to it; ``log`` is what it writes to standard output and error."""

    def __init__(self, connection: Connection, log: IO[bytes]):
        self._connection, self._log = connection, log

    @property
    @abstractmethod
    def pid(self) -> int:
        """Its number; that of its group as well."""

    @abstractmethod
    def wait(self, seconds: float | None = None) -> int | None:
        """Its exit code, once it has ended or so much time has passed."""

    def send(self, request: object) -> None:
        """Raises `FaultError`."""
        try:
            self._connection.send(request)
        except ConnectionError as error:
            raise FaultError(CRASH, self._ended()) from error

    def answer(self, bounds: Bounds) -> Any:
        """What it sends, or raises. Raises `FaultError`."""
        end = monotonic() + bounds.seconds
        try:
            while not self._connection.poll(WATCHED_EVERY_S):
                if monotonic() > end:
                    raise FaultError(TIME, f"not done within {bounds.seconds:g} s")
                if resident_bytes(self.pid) > bounds.memory_bytes:
                    raise _out_of_memory(bounds)
            answer = self._connection.recv()
        except (EOFError, ConnectionError) as error:
            raise FaultError(CRASH, self._ended()) from error
        if isinstance(answer, _Raised) and isinstance(answer.error, MemoryError):
            raise _out_of_memory(bounds) from answer.error
        return answer

    def end(self) -> None:
        """Kills the process and those that it started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        if self.wait(0) is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()
        self._connection.close()
        self._log.close()

    def _ended(self) -> str:
        """How the process ended, with the last line that it wrote before any trace of its stack."""
        code = self.wait(5)
        self._log.seek(0)
        lines = [line.strip() for line in self._log.read().decode(errors="replace").splitlines()]
        said = [line for line in lines if line and not line.startswith(STACK_TRACE)]
        return ": ".join([how_it_ended(code), *said[-1:]])


class _Fresh(_Process):
    """A new interpreter, which serves calls until the connection is closed."""

    def __init__(self) -> None:
        here, there = Pipe()
        log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        super().__init__(here, log)
        path = [folder or str(Path.cwd()) for folder in sys.path]
        self._popen = subprocess.Popen(
            [sys.executable, "-P", "-c", _BOOTSTRAP, str(there.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
            pass_fds=(there.fileno(),),
            start_new_session=True,  # an interrupt from the terminal goes to us alone
        )
        there.close()  # so that the child's end is the only one, and its death is noticed

    @property
    def pid(self) -> int:
        return self._popen.pid

    def wait(self, seconds: float | None = None) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(seconds)
        return self._popen.returncode


class _Forked(_Process):
    """A copy of this process, which does one thing."""

    def __init__(self, work: Callable[[], object]):
        context = get_context("fork")
        here, there = context.Pipe()
        log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        super().__init__(here, log)
        self._process = context.Process(target=_do, args=(work, here, there, log), daemon=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # threads are running; the work uses nothing of theirs
            self._process.start()
        there.close()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def wait(self, seconds: float | None = None) -> int | None:
        self._process.join(seconds)
        return self._process.exitcode


def forked(works: Iterable[Callable[[], Result]], bounds: Bounds, at_once: int = 1) -> Iterator[Result]:
    """What each of ``works`` gives, in their order, each done in a copy of this process, ``at_once`` at the same time;
    the next one is asked for when one has ended. Only results have to be picklable. The works must not compute on the
    threads of PyTorch or TVM, of which the copies have none.

    Raises what a work raises, and `FaultError` where it ends its process or passes the bounds, of which the seconds
    count from when all before it have ended.
    """
    left, running = iter(works), deque[_Forked]()
    try:
        running.extend(map(_Forked, islice(left, at_once)))
        while running:
            answer = running[0].answer(bounds)
            running.popleft().end()
            if isinstance(answer, _Raised):
                raise answer.error
            running.extend(map(_Forked, islice(left, 1)))
            yield answer
    finally:
        for process in running:
            process.end()


def _do(work: Callable[[], object], inherited: Connection, connection: Connection, log: IO[bytes]) -> None:
    """The whole life of a forked process."""
    os.setpgrp()
    end_with_parent()
    _be_first_to_go()
    faulthandler.disable()  # which would write to where the parent's errors go
    inherited.close()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    for descriptor in (1, 2):
        os.dup2(log.fileno(), descriptor)
    with suppress(BrokenPipeError, ConnectionResetError):  # the parent has ended
        connection.send(_done(work))


def _done(work: Callable[[], object]) -> object:
    """What the work gives, or raises."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - raised again where the result is asked for
        return _Raised(error)


def _out_of_memory(bounds: Bounds) -> FaultError:
    return FaultError(MEMORY, f"more than {bounds.memory_bytes / GIB:.2g} GiB of memory")


def serve(descriptor: int) -> None:
    """The whole life of the process."""
    end_with_parent()
    _be_first_to_go()
    connection = Connection(descriptor)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the parent has ended
        while True:
            work, arguments, named = connection.recv()
            connection.send(_done(partial(work, *arguments, **named)))


def _be_first_to_go() -> None:
    """Where memory runs out, Linux ends this process and not the one that has all results."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
