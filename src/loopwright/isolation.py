"""Work that may crash, hang or take all memory, done in a process of its own: a fault there is an exception here.

The process is started afresh, not forked (what runs compiled code has threads, which no fork survives), and serves many
calls, since its imports take seconds. After a fault the next call starts another.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from time import monotonic
from typing import IO, Any, ParamSpec, Self, TypeVar

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
    """Half of the bytes of memory that this machine has, or that this process's control group may use."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, ValueError):  # no control group, or one without a limit ("max")
        physical = min(physical, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return physical // 2


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
        self._process: _Process | None = None

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
        process = self._process = self._process or _Process()
        complete = False
        try:
            answer = process.answer((work, arguments, named), self.bounds)
            complete = True
        finally:
            if not complete:  # a fault, or an interrupt of ours
                self.close()
        if isinstance(answer, _Raised):
            raise answer.error
        result: Result = answer
        return result


class _Process:
    """The process, its connection, and what it writes to standard output and error."""

    def __init__(self) -> None:
        self._connection, far_end = Pipe()
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        path = [folder for folder in sys.path if folder]
        self._popen = subprocess.Popen(
            [sys.executable, "-P", "-c", _BOOTSTRAP, str(far_end.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
            pass_fds=(far_end.fileno(),),
            start_new_session=True,  # an interrupt from the terminal goes to us alone
        )
        far_end.close()  # so that the child's end is the only one, and its death is noticed

    def answer(self, request: object, bounds: Bounds) -> Any:
        """What the child sends back. Raises `FaultError`."""
        end = monotonic() + bounds.seconds
        try:
            self._connection.send(request)
            while not self._connection.poll(WATCHED_EVERY_S):
                if monotonic() > end:
                    raise FaultError(TIME, f"not done within {bounds.seconds:g} s")
                if self._resident_bytes() > bounds.memory_bytes:
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
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.kill()
        self._popen.wait()
        self._connection.close()
        self._log.close()

    def _resident_bytes(self) -> int:
        try:
            return int(Path(f"/proc/{self._popen.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, IndexError):  # no Linux, or the process has just ended
            return 0

    def _ended(self) -> str:
        """How the process ended, with the last line that it wrote before any trace of its stack."""
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(timeout=5)
        self._log.seek(0)
        lines = [line.strip() for line in self._log.read().decode(errors="replace").splitlines()]
        said = [line for line in lines if line and not line.startswith(STACK_TRACE)]
        return ": ".join([how_it_ended(self._popen.returncode), *said[-1:]])


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
            try:
                answer = work(*arguments, **named)
            except Exception as error:  # noqa: BLE001 - raised again where the result is asked for
                answer = _Raised(error)
            connection.send(answer)


def _be_first_to_go() -> None:
    """Where memory runs out, Linux ends this process and not the one that has all results."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
