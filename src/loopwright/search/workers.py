"""Processes that share out work on one thing, one thread each; results come in the order of the items.

A worker is forked and so finds what it works with as it is here: networks need not be picklable, only the items and
the results. Where forking is no way (see `can_fork`), or with one worker, this process does the work.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

import torch

from loopwright.errors import LoopwrightError
from loopwright.processes import end_with_parent

Thing = TypeVar("Thing")
Item = TypeVar("Item")
Result = TypeVar("Result")

PRIMITIVE_CACHE = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16384")
"""What oneDNN reads before its first convolution. A search convolves in thousands of shapes, of which it would keep
1024, and generate the others' code again and again (a fifth of the time)."""


@dataclass(frozen=True, eq=False)
class _Worker:
    process: BaseProcess
    connection: Connection


@dataclass(frozen=True, eq=False)
class _Raised:
    """What the work raised in a worker."""

    error: Exception


class Workers(Generic[Thing]):
    """``count`` processes that work on ``thing``; a context manager that ends them, whatever they are doing.

    They start when there is something to do.
    """

    def __init__(self, thing: Thing, count: int):
        self.thing, self.count = thing, count
        self._workers: dict[Connection, _Worker] = {}

    def __enter__(self) -> Workers[Thing]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the processes; the next `map` starts new ones."""
        for worker in self._workers.values():
            worker.process.kill()
        for worker in self._workers.values():
            worker.process.join()
            worker.connection.close()
        self._workers.clear()

    def map(self, work: Callable[[Thing, Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """``work(thing, item)`` for every item, in order; items are drawn a little ahead of the results.

        Raises what the work raises, and `LoopwrightError` if a worker ends by itself. The workers are ended then.
        """
        if self.count == 1 or not can_fork():
            for item in items:
                with one_thread():
                    result = work(self.thing, item)
                yield result
            return
        complete = False
        try:
            yield from self._share_out(work, items)
            complete = True
        finally:
            if not complete:
                self.close()

    def _share_out(self, work: Callable[[Thing, Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        ahead = _Ahead(items)
        busy: dict[Connection, int] = {}
        finished: dict[int, Result] = {}
        given = taken = 0
        while ahead.more() or busy:
            for connection in [own for own in self._connections() if own not in busy]:
                if ahead.more():
                    self._send(connection, (work, ahead.take()))
                    busy[connection] = given
                    given += 1
            ahead.fill(self.count)  # drawn while the workers are busy
            ready = wait(list(busy))
            for connection in [own for own in busy if own in ready]:
                finished[busy.pop(connection)] = self._received(connection)
            while taken in finished:
                yield finished.pop(taken)
                taken += 1

    def _connections(self) -> list[Connection]:
        if not self._workers:
            for _ in range(self.count):
                worker = _forked(self.thing, [other.connection for other in self._workers.values()])
                self._workers[worker.connection] = worker
        return list(self._workers)

    def _send(self, connection: Connection, message: object) -> None:
        try:
            connection.send(message)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise self._ended(connection) from error

    def _received(self, connection: Connection) -> Any:
        try:
            result = connection.recv()
        except (EOFError, ConnectionResetError) as error:
            raise self._ended(connection) from error
        if isinstance(result, _Raised):
            raise result.error
        return result

    def _ended(self, connection: Connection) -> LoopwrightError:
        process = self._workers[connection].process
        process.join()
        code = process.exitcode or 0
        how = (
            f"was killed by signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"ended with status {code}"
        )
        return LoopwrightError(
            f"a worker process {how}, perhaps for lack of memory; run the same again: it goes on from what was done"
        )


class _Ahead(Generic[Item]):
    """Items, some of which are drawn before they are taken."""

    def __init__(self, items: Iterable[Item]):
        self._items, self._drawn = iter(items), deque[Item]()

    def fill(self, count: int) -> None:
        """Draws until ``count`` items lie ready, or there are no more."""
        while len(self._drawn) < count:
            try:
                self._drawn.append(next(self._items))
            except StopIteration:
                return

    def more(self) -> bool:
        self.fill(1)
        return bool(self._drawn)

    def take(self) -> Item:
        return self._drawn.popleft()


def can_fork() -> bool:
    """Whether workers can be forked: on Linux, while no GPU is there (PyTorch's gradients then need threads that a
    forked process lacks)."""
    return sys.platform == "linux" and not torch.cuda.is_available()


@contextmanager
def one_thread() -> Iterator[None]:
    """Inside, PyTorch computes on one thread, so that results don't depend on how many there are."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _forked(thing: object, others: Iterable[Connection]) -> _Worker:
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(thing, there, [here, *others]), daemon=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads are running; the worker uses nothing of theirs
        process.start()
    there.close()
    return _Worker(process, here)


def _serve(thing: object, connection: Connection, inherited: Iterable[Connection]) -> None:
    """The whole life of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt from the terminal goes to the parent alone
    end_with_parent()
    _keep_freed_memory()
    os.environ.setdefault(*PRIMITIVE_CACHE)
    for other in inherited:
        other.close()
    torch.set_num_threads(1)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the parent has ended
        while True:
            work, item = connection.recv()
            try:
                result = work(thing, item)
            except Exception as error:  # noqa: BLE001 - raised again where the result is asked for
                result = _Raised(error)
            connection.send(result)


def _keep_freed_memory() -> None:
    """Has glibc keep what is freed for the next tensors of this process, instead of giving it back and faulting it in
    anew (a fifth of the time of a pass over 128 images)."""
    if hasattr(ctypes.CDLL(None), "mallopt"):
        trim_threshold, mmap_max = -1, -4
        ctypes.CDLL(None).mallopt(mmap_max, 0)
        ctypes.CDLL(None).mallopt(trim_threshold, 2**31 - 1)
