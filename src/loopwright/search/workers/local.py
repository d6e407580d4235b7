"""Workers of this machine: forked, so that they find what they work with as it is here.

Networks need not be picklable then, only the items and the results. Where forking is no way (see `can_fork`), or with
one worker, this process does the work.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch

from loopwright.memory import available_bytes, give_back, own_bytes, peak_bytes
from loopwright.processes import end_with_parent
from loopwright.search.workers.work import (
    Item,
    Result,
    Task,
    Tasks,
    Thing,
    Workers,
    answer,
    one_thread,
    result_of,
    settle_in,
)

SLACK = 1.5
"""How much more than any piece of work so far one may take: two that were judged at once have filled a machine's memory
where the first had taken less than half of it."""


@dataclass(frozen=True)
class LocalCrew:
    """``count`` processes of this machine."""

    count: int

    def workers(self, thing: Thing) -> LocalWorkers[Thing]:
        return LocalWorkers(thing, self.count)


@dataclass(frozen=True, eq=False)
class _Worker:
    """``shared`` is what it had in memory when it was forked: this process's, in bytes."""

    process: BaseProcess
    connection: Connection
    shared: int

    @property
    def taken(self) -> int:
        """What it has taken since, in bytes."""
        return own_bytes(self.process.pid or 0) - self.shared

    @property
    def most_taken(self) -> int:
        """The most that it has taken at once, with the files that it has mapped."""
        return peak_bytes(self.process.pid or 0) - self.shared


class _LostError(Exception):
    """A worker has ended by itself; the message says how."""


class LocalWorkers(Workers[Thing]):
    """At most ``count`` processes that are forked from this one when they are needed: no more than memory suffices for,
    by the most that one has taken for a piece of work, and some slack."""

    def __init__(self, thing: Thing, count: int):
        self._thing, self._count = thing, count
        self._workers: dict[Connection, _Worker] = {}
        self._needed: int | None = None

    def close(self) -> None:
        for worker in self._workers.values():
            worker.process.kill()
        for worker in self._workers.values():
            worker.process.join()
            worker.connection.close()
        self._workers.clear()

    def _share_out(self, work: Callable[[Thing, Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        if self._count == 1 or not can_fork():
            return self._in_this_process(work, items)
        return self._among_processes(pickle.dumps(work), Tasks(items))

    def _in_this_process(self, work: Callable[[Thing, Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        for item in items:
            with one_thread():
                result = work(self._thing, item)
            yield result

    def _among_processes(self, work: bytes, tasks: Tasks[Item]) -> Iterator[Result]:
        busy: dict[Connection, Task[Item]] = {}
        finished: dict[int, Result] = {}
        taken = 0
        while busy or tasks.more():
            while len(busy) < self._room() and tasks.more():
                self._give(work, tasks, busy)
            tasks.fill(self._count)  # drawn while the workers are busy
            ready = wait(list(busy))
            for connection in [own for own in busy if own in ready]:
                task = busy.pop(connection)
                try:
                    finished[task.number] = self._received(connection)
                except _LostError as error:
                    tasks.lost(task, str(error))
            while taken in finished:
                yield finished.pop(taken)
                taken += 1

    def _room(self) -> int:
        """How many processes there may be now."""
        if self._needed is None:
            return 1
        free = available_bytes() + sum(max(0, worker.taken) for worker in self._workers.values())
        return max(1, min(self._count, int(free / max(1, SLACK * self._needed))))

    def _give(self, work: bytes, tasks: Tasks[Item], busy: dict[Connection, Task[Item]]) -> None:
        """The next task to a worker that has none."""
        task = tasks.take()
        connection = self._free(busy)
        try:
            connection.send((work, task.item))
        except (BrokenPipeError, ConnectionResetError):
            tasks.lost(task, self._removed(connection))
        else:
            busy[connection] = task

    def _free(self, busy: Iterable[Connection]) -> Connection:
        """A worker that has nothing to do; a new one, if there is none."""
        for connection in self._workers.keys() - set(busy):
            return connection
        worker = _forked(self._thing, list(self._workers))
        self._workers[worker.connection] = worker
        return worker.connection

    def _received(self, connection: Connection) -> Any:
        try:
            answered = connection.recv_bytes()
        except (EOFError, ConnectionResetError) as error:
            raise _LostError(self._removed(connection)) from error
        self._needed = max(self._needed or 0, self._workers[connection].most_taken)
        return result_of(answered)

    def _removed(self, connection: Connection) -> str:
        """How a worker ended that ended by itself; it is forgotten."""
        process = self._workers.pop(connection).process
        connection.close()
        process.join()
        code = process.exitcode or 0
        if code < 0:
            return f"a worker process was killed by signal {-code} ({signal.Signals(-code).name})"
        return f"a worker process was lost (it ended with status {code})"


def can_fork() -> bool:
    """Whether workers can be forked: on Linux, while no GPU is there (PyTorch's gradients then need threads that a
    forked process lacks)."""
    return sys.platform == "linux" and not torch.cuda.is_available()


def _forked(thing: object, others: Iterable[Connection]) -> _Worker:
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    give_back()  # or every worker would have a copy of it as soon as it writes there
    process = context.Process(target=_serve, args=(thing, there, [here, *others]), daemon=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads are running; the worker uses nothing of theirs
        process.start()
    there.close()
    return _Worker(process, here, own_bytes(os.getpid()))


def _serve(thing: object, connection: Connection, inherited: Iterable[Connection]) -> None:
    """The whole life of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt from the terminal goes to the parent alone
    end_with_parent()
    settle_in()
    for other in inherited:
        other.close()
    pickled: bytes = b""
    work: Any = None
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the parent has ended
        while True:
            given, item = connection.recv()
            if given != pickled:
                pickled, work = given, pickle.loads(given)
            connection.send_bytes(answer(work, thing, item))
