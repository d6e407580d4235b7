"""Workers of a Ray cluster. Ray itself runs in a process of its own, see `ray_process`."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from itertools import count
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, Self

from loopwright.errors import ArgumentError, LoopwrightError
from loopwright.search.workers import ray_messages as message
from loopwright.search.workers.portable import portable
from loopwright.search.workers.work import Item, Result, Task, Tasks, Thing, Workers, result_of
from loopwright.targets.cpu import usable_processors

MAIN = "from loopwright.search.workers.ray_process import main; main()"
CONNECTED_S = 60.0
"""Within which a cluster answers, or one is started here."""
ENDED_S = 15.0
AHEAD = 2
"""Pieces for each worker that are under way: one that it works on, and one that waits beside it."""


class RayCrew:
    """The processes of a Ray cluster: ``count`` of them, or one for each of its processors. A context manager that ends
    the connection, and the cluster if it was started here."""

    def __init__(self, process: subprocess.Popen[bytes], connection: Connection, output: Any):
        self._process, self._connection, self._output = process, connection, output
        self._numbers = count()
        self.count = self.machines = 0

    @classmethod
    def connect(cls, address: str, count: int | None = None) -> RayCrew:
        """``address`` is the HOST:PORT of a cluster's head, ``local`` for one that is started on this machine, or
        ``auto`` for the one that is running here, else ``local``.

        Raises `ArgumentError` where Ray is not installed or the cluster can't be used.
        """
        missing = [name for name in ("ray", "cloudpickle") if find_spec(name) is None]
        if missing:
            raise ArgumentError(f"--ray needs the package {missing[0]}: pip install 'loopwright[ray]'")
        crew = cls(*_started())
        try:
            crew._connect(address, count)
        except BaseException:
            crew.close()
            raise
        return crew

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __str__(self) -> str:
        return f"Ray: {self.count} workers, {self.machines} machine{'s' if self.machines > 1 else ''}"

    def workers(self, thing: Thing) -> RayWorkers[Thing]:
        return RayWorkers(self, thing)

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()
        try:
            self._process.wait(ENDED_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._output.close()

    def send(self, told: object) -> None:
        """Raises `LoopwrightError` where the connection is lost."""
        try:
            self._connection.send(told)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise self._ended() from error

    def received(self) -> object:
        """The next message; `LoopwrightError` where there will be none."""
        try:
            told: object = self._connection.recv()
        except (EOFError, ConnectionResetError) as error:
            raise self._ended() from error
        if isinstance(told, message.Failed):
            raise LoopwrightError(f"Ray: {told.reason}")
        return told

    def number(self) -> int:
        """Another one with every call."""
        return next(self._numbers)

    def _connect(self, address: str, count: int | None) -> None:
        self.send(message.Connect(address, count or usable_processors()))
        if not self._connection.poll(CONNECTED_S):
            self._process.kill()
            raise ArgumentError(f"--ray {address}: no Ray cluster answers there within {CONNECTED_S:.0f} s")
        try:
            told = self.received()
        except LoopwrightError as error:
            raise ArgumentError(f"--ray {address} can't be used: {str(error).removeprefix('Ray: ')}") from error
        assert isinstance(told, message.Connected)
        self.count, self.machines = count or max(told.processors, 1), told.machines

    def _ended(self) -> LoopwrightError:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(ENDED_S)
        self._output.seek(0)
        said = self._output.read().decode(errors="replace").strip().splitlines()
        last = said[-1].rpartition("] ")[2].partition(". ")[0] if said else "without a word"
        return LoopwrightError(f"the connection to Ray was lost ({last}); the same run goes on from what was done")


class RayWorkers(Workers[Thing]):
    """Those of a crew; the thing travels to them when there is something to do."""

    def __init__(self, crew: RayCrew, thing: Thing):
        self._crew, self._thing = crew, thing
        self._running = False

    def close(self) -> None:
        if self._running:
            self._running = False
            with suppress(LoopwrightError):
                self._crew.send(message.Rest())

    def _share_out(self, work: Callable[[Thing, Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        tasks = Tasks(items)
        if not tasks.more():
            return
        function = self._crew.number()
        self._start()
        self._crew.send(message.Work(function, portable(work)))
        under_way: dict[int, Task[Item]] = {}
        finished: dict[int, Result] = {}
        taken = 0
        while under_way or tasks.more():
            while len(under_way) < AHEAD * self._crew.count and tasks.more():
                task, number = tasks.take(), self._crew.number()
                self._crew.send(message.Piece(number, function, pickle.dumps(task.item)))
                under_way[number] = task
            match self._crew.received():
                case message.Answer(number, answered) if number in under_way:
                    finished[under_way.pop(number).number] = result_of(answered)
                case message.Lost(number, how) if number in under_way:
                    tasks.lost(under_way.pop(number), how)
            while taken in finished:
                yield finished.pop(taken)
                taken += 1

    def _start(self) -> None:
        if not self._running:
            self._crew.send(message.Start(portable(self._thing), self._crew.count))
            self._running = True


def _started() -> tuple[subprocess.Popen[bytes], Connection, Any]:
    """The process, in a session of its own so that an interrupt from the terminal is this one's alone."""
    here, there = Pipe()
    output = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the crew
    descriptor = there.fileno()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, str(descriptor)],
        pass_fds=[descriptor], stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
        env=environment,
    )  # fmt: skip
    there.close()
    return process, here, output
