from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator

import pytest
import torch

from loopwright.errors import ArgumentError, LoopwrightError
from loopwright.search.workers import Workers


def scaled(thing: int, item: int) -> int:
    time.sleep(random.Random(item).random() / 50)
    return thing * item


def process(_thing: object, _item: object) -> tuple[int, int]:
    time.sleep(0.02)
    return os.getpid(), torch.get_num_threads()


def refused(_thing: object, item: int) -> int:
    if item == 3:
        raise ArgumentError("not 3")
    return item


def ends(_thing: object, item: int) -> int:
    if item == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def never(_thing: object, _item: object) -> None:
    time.sleep(60)


def alive(pids: set[int]) -> list[int]:
    return [pid for pid in pids if os.path.exists(f"/proc/{pid}")]  # noqa: PTH110


@pytest.mark.parametrize("count", [1, 2, 3])
def test_results_come_in_the_order_of_the_items(count: int):
    with Workers(10, count) as workers:
        assert list(workers.map(scaled, range(20))) == [10 * item for item in range(20)]
        assert list(workers.map(scaled, [])) == []
        assert list(workers.map(scaled, [7])) == [70]


def test_the_thing_need_not_be_picklable():
    with Workers(lambda: 3, 2) as workers:
        assert list(workers.map(called, [1, 2])) == [4, 5]


def called(thing, item: int) -> int:
    return thing() + item


def test_workers_are_other_processes_with_one_thread_each_and_end_with_the_context():
    threads = torch.get_num_threads()
    with Workers(None, 2) as workers:
        found = set(workers.map(process, range(8)))
    pids = {pid for pid, _ in found}
    assert len(pids) == 2
    assert os.getpid() not in pids
    assert {own for _, own in found} == {1}
    assert alive(pids) == []
    assert torch.get_num_threads() == threads


def test_one_worker_is_this_process_and_gives_its_threads_back():
    threads = torch.get_num_threads()
    assert list(Workers(None, 1).map(process, [0])) == [(os.getpid(), 1)]
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("count", [1, 2])
def test_what_the_work_raises_is_raised(count: int):
    with Workers(None, count) as workers:
        with pytest.raises(ArgumentError, match="not 3"):
            list(workers.map(refused, range(8)))
        assert list(workers.map(refused, [0, 1])) == [0, 1]


def test_a_worker_that_dies_is_one_clear_error():
    with Workers(None, 2) as workers, pytest.raises(LoopwrightError, match=r"a worker process was killed by signal 9"):
        list(workers.map(ends, range(6)))


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupt_ends_workers_that_are_busy(error: type[BaseException]):
    workers = Workers(None, 2)
    pids = {pid for pid, _ in workers.map(process, range(8))}

    def items() -> Iterator[int]:
        yield 0
        raise error

    start = time.monotonic()
    with pytest.raises(error):
        list(workers.map(never, items()))
    assert time.monotonic() - start < 10
    assert alive(pids) == []


def test_items_are_drawn_only_a_little_ahead():
    drawn = []

    def items() -> Iterator[int]:
        for item in range(100):
            drawn.append(item)
            yield item

    with Workers(1, 2) as workers:
        results = workers.map(scaled, items())
        next(results)
        assert len(drawn) < 20
        results.close()
