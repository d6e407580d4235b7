from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from loopwright.errors import ArgumentError, LoopwrightError
from loopwright.search.workers import LocalWorkers, local

MIB = 1024**2


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


def ends(flag: Path, item: int) -> int:
    """Ends its process at the first 2 that it meets."""
    if item == 2 and not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def always_ends(_thing: object, item: int) -> int:
    if item == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def never(_thing: object, _item: object) -> None:
    time.sleep(60)


def alive(pids: set[int]) -> list[int]:
    return [pid for pid in pids if os.path.exists(f"/proc/{pid}")]  # noqa: PTH110


@pytest.mark.parametrize("count", [1, 2, 3])
def test_results_come_in_the_order_of_the_items(count: int):
    with LocalWorkers(10, count) as workers:
        assert list(workers.map(scaled, range(20))) == [10 * item for item in range(20)]
        assert list(workers.map(scaled, [])) == []
        assert list(workers.map(scaled, [7])) == [70]


def takes_memory(_thing: object, _item: object) -> int:
    """Far more than the kernel's counters of a process may be wrong by, tens of MiB where there are many processors."""
    taken = bytearray(512 * MIB)
    time.sleep(0.02)
    return os.getpid() + 0 * len(taken)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize(("available", "processes"), [(0, 1), (250 * MIB, 1), (700 * MIB, 1), (10_000 * MIB, 3)])
def test_there_are_no_more_processes_than_memory_suffices_for(
    available: int, processes: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(local, "available_bytes", lambda: available)
    with LocalWorkers(0, 3) as workers:
        assert len(set(workers.map(takes_memory, range(20)))) == processes
        assert len(set(workers.map(takes_memory, range(20)))) == processes


def test_the_thing_need_not_be_picklable():
    with LocalWorkers(lambda: 3, 2) as workers:
        assert list(workers.map(called, [1, 2])) == [4, 5]


def called(thing, item: int) -> int:
    return thing() + item


def test_workers_are_other_processes_with_one_thread_each_and_end_with_the_context():
    threads = torch.get_num_threads()
    with LocalWorkers(None, 2) as workers:
        found = set(workers.map(process, range(8)))
    pids = {pid for pid, _ in found}
    assert len(pids) == 2
    assert os.getpid() not in pids
    assert {own for _, own in found} == {1}
    assert alive(pids) == []
    assert torch.get_num_threads() == threads


def test_one_worker_is_this_process_and_gives_its_threads_back():
    threads = torch.get_num_threads()
    assert list(LocalWorkers(None, 1).map(process, [0])) == [(os.getpid(), 1)]
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("count", [1, 2])
def test_what_the_work_raises_is_raised(count: int):
    with LocalWorkers(None, count) as workers:
        with pytest.raises(ArgumentError, match="not 3"):
            list(workers.map(refused, range(8)))
        assert list(workers.map(refused, [0, 1])) == [0, 1]


def test_a_worker_that_is_killed_loses_nothing(tmp_path: Path):
    with LocalWorkers(tmp_path / "killed", 2) as workers:
        assert list(workers.map(ends, range(8))) == list(range(8))
        assert (tmp_path / "killed").exists()
        assert len({pid for pid, _ in workers.map(process, range(8))}) == 2


def test_workers_that_are_killed_while_they_wait_are_replaced():
    with LocalWorkers(3, 2) as workers:
        for pid in {pid for pid, _ in workers.map(process, range(8))}:
            os.kill(pid, signal.SIGKILL)
        assert list(workers.map(scaled, range(8))) == [3 * item for item in range(8)]


def test_work_that_always_ends_its_worker_is_one_clear_error():
    with LocalWorkers(None, 2) as workers:
        with pytest.raises(
            LoopwrightError, match=r"^a worker process was killed by signal 9 \(SIGKILL\), and so were 2 others"
        ):
            list(workers.map(always_ends, range(6)))
        assert list(workers.map(refused, [0, 1])) == [0, 1]


class UnpicklableError(Exception):
    def __init__(self, one: int, two: int):
        super().__init__(f"{one} and {two}")


def raises_unpicklable(_thing: object, _item: object) -> None:
    raise UnpicklableError(1, 2)


def test_an_error_that_cannot_be_pickled_is_told_all_the_same():
    with (
        LocalWorkers(None, 2) as workers,
        pytest.raises(LoopwrightError, match="UnpicklableError in a worker: 1 a"),
    ):
        list(workers.map(raises_unpicklable, range(2)))


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupt_ends_workers_that_are_busy(error: type[BaseException]):
    workers = LocalWorkers(None, 2)
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

    with LocalWorkers(1, 2) as workers:
        results = workers.map(scaled, items())
        next(results)
        assert len(drawn) < 20
        results.close()
