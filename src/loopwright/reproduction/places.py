"""Work shared out among devices: a process for each, which takes the next item as soon as it is free."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
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


def on_places(work: Work[Item, Result], items: Sequence[Item], places: Sequence[str]) -> Iterator[tuple[Item, Result]]:
    """Each of ``items`` with what ``work`` makes of it on one of ``places``, as soon as it is known. Each place has a
    process, one named twice has two; a single one is this process.

    Raises what ``work`` raises; what has not begun then does not begin.
    """
    if len(places) == 1:
        for item in items:
            yield item, work(item, places[0])
        return
    context = get_context("spawn")
    free: Queue[str] = context.Queue()
    for place in places:
        free.put(place)
    threads = max(1, (os.cpu_count() or 1) // len(places))
    pool = ProcessPoolExecutor(len(places), context, _begin, (free, threads))
    try:
        waiting = {pool.submit(_on_own_place, work, item): item for item in items}
        for done in as_completed(waiting):
            yield waiting.pop(done), done.result()
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
