"""Work shared out among devices: a process for each, which takes the next item as soon as it is free."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.queues import Queue
from typing import TypeVar

import torch

from loopwright.errors import ArgumentError

Item = TypeVar("Item")
Result = TypeVar("Result")
Work = Callable[[Item, str], Result]


def devices(name: str) -> list[str]:
    """``cuda`` as every GPU that there is, any other device as itself; ArgumentError if PyTorch has no such device."""
    if name == "cpu":
        return [name]
    gpus = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    if name == "cuda" and gpus:
        return gpus
    if name not in gpus:
        raise ArgumentError(f"there is no device {name!r} here; there are: {', '.join(['cpu', *gpus])}")
    return [name]


def on_places(
    work: Work[Item, Result],
    items: Sequence[Item],
    places: Sequence[str],
    then: Callable[[Item], Sequence[Item]] = lambda _: (),
) -> Iterator[tuple[Item, Result]]:
    """Each of ``items`` with what ``work`` makes of it on one of ``places``, as soon as it is known, and so those that
    come ``then``, after an item that is done. Each place has a process, one named twice has two; a single one is this
    process.

    Raises what ``work`` raises; what has not begun then does not begin.
    """
    if len(places) == 1:
        left = deque(items)
        while left:
            item = left.popleft()
            yield item, work(item, places[0])
            left.extend(then(item))
        return
    with _pool(places) as pool:
        waiting = {pool.submit(_on_own_place, work, item): item for item in items}
        while waiting:
            for done in wait(waiting, return_when=FIRST_COMPLETED).done:
                item, result = waiting.pop(done), done.result()
                waiting.update({pool.submit(_on_own_place, work, more): more for more in then(item)})
                yield item, result


@contextmanager
def _pool(places: Sequence[str]) -> Iterator[ProcessPoolExecutor]:
    context = get_context("spawn")
    free: Queue[str] = context.Queue()
    for place in places:
        free.put(place)
    threads = max(1, (os.cpu_count() or 1) // len(places))
    pool = ProcessPoolExecutor(len(places), context, _begin, (free, threads))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


_own: list[str] = []
"""In a worker: its place."""


def _begin(free: Queue[str], threads: int) -> None:
    """In a worker: it takes a place, ends silently when interrupted, and leaves processors for the others."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    torch.set_num_threads(threads)
    _own.append(free.get())


def _on_own_place(work: Work[Item, Result], item: Item) -> Result:
    return work(item, _own[0])
