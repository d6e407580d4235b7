"""What all workers have in common: how work is taken, done, given again, and answered."""

from __future__ import annotations

import ctypes
import os
import pickle
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, Self, TypeVar

import torch

from loopwright.errors import LoopwrightError

Thing = TypeVar("Thing")
Item = TypeVar("Item")
Result = TypeVar("Result")

GIVEN_AT_MOST = 3
"""To how many workers an item is given before the run gives up on it."""

PRIMITIVE_CACHE = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16384")
"""What oneDNN reads before its first convolution. A search convolves in thousands of shapes, of which it would keep
1024, and generate the others' code again and again (a fifth of the time)."""


class Workers(ABC, Generic[Thing]):
    """Processes that work on one thing, one thread each; a context manager that ends them, whatever they are doing.

    They start when there is something to do.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Ends the processes; the next `map` starts new ones."""

    @abstractmethod
    def _share_out(self, work: Callable[[Thing, Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """As `map`, which ends the processes where this ends early."""

    def map(self, work: Callable[[Thing, Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """``work(thing, item)`` for every item, in order; items are drawn a little ahead of the results. ``work``,
        items and results are pickled.

        Raises what the work raises, and `LoopwrightError` if one item loses `GIVEN_AT_MOST` workers. The workers are
        ended then.
        """
        complete = False
        try:
            yield from self._share_out(work, items)
            complete = True
        finally:
            if not complete:
                self.close()


class Crew(Protocol):
    """Where workers are."""

    def workers(self, thing: Thing) -> Workers[Thing]:
        """Those that work on ``thing``."""


@dataclass(frozen=True, eq=False)
class Task(Generic[Item]):
    """The ``number``-th item, and how many workers were ``lost`` on it."""

    number: int
    item: Item
    lost: int = 0


class Tasks(Generic[Item]):
    """Items in order, some of which are drawn before they are taken; those that come back are taken first."""

    def __init__(self, items: Iterable[Item]):
        self._items = enumerate(items)
        self._again, self._drawn = deque[Task[Item]](), deque[Task[Item]]()

    def fill(self, count: int) -> None:
        """Draws until ``count`` items lie ready, or there are no more."""
        while len(self._drawn) < count:
            try:
                self._drawn.append(Task(*next(self._items)))
            except StopIteration:
                return

    def more(self) -> bool:
        """Whether there is something to take; may draw an item."""
        if not self._again:
            self.fill(1)
        return bool(self._again or self._drawn)

    def take(self) -> Task[Item]:
        return self._again.popleft() if self._again else self._drawn.popleft()

    def lost(self, task: Task[Item], how: str) -> None:
        """The worker that had the task was lost: another is to take it. Raises `LoopwrightError` where that happened
        `GIVEN_AT_MOST` times."""
        task = replace(task, lost=task.lost + 1)
        if task.lost == GIVEN_AT_MOST:
            raise LoopwrightError(
                f"{how}, and so were {GIVEN_AT_MOST - 1} others before it at the same work, perhaps for lack of "
                "memory; with fewer workers there is more for each, and the same run goes on from what was done"
            )
        self._again.append(task)


@dataclass(frozen=True, eq=False)
class _Raised:
    """What the work raised in a worker."""

    error: Exception


def answer(work: Callable[[Thing, Item], Result], thing: Thing, item: Item) -> bytes:
    """The result in a worker, or what was raised there, for `result_of`."""
    try:
        return pickle.dumps(work(thing, item))
    except Exception as error:  # noqa: BLE001 - raised again where the result is asked for
        return _raised(error)


def _raised(error: Exception) -> bytes:
    try:
        pickled = pickle.dumps(_Raised(error))
        pickle.loads(pickled)
    except Exception:  # noqa: BLE001 - an exception of any class may refuse
        return pickle.dumps(_Raised(LoopwrightError(f"{type(error).__name__} in a worker: {error}")))
    return pickled


def result_of(answered: bytes) -> Any:
    """What `answer` had; raises what the work raised."""
    result = pickle.loads(answered)
    if isinstance(result, _Raised):
        raise result.error
    return result


@contextmanager
def one_thread() -> Iterator[None]:
    """Inside, PyTorch computes on one thread, so that results don't depend on how many there are."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def settle_in() -> None:
    """Makes this process a worker: one thread, memory that is freed is kept, and so are oneDNN's kernels."""
    _keep_freed_memory()
    os.environ.setdefault(*PRIMITIVE_CACHE)
    torch.set_num_threads(1)


def _keep_freed_memory() -> None:
    """Has glibc keep what is freed for the next tensors of this process, instead of giving it back and faulting it in
    anew (a fifth of the time of a pass over 128 images)."""
    if hasattr(ctypes.CDLL(None), "mallopt"):
        trim_threshold, mmap_max = -1, -4
        ctypes.CDLL(None).mallopt(mmap_max, 0)
        ctypes.CDLL(None).mallopt(trim_threshold, 2**31 - 1)
