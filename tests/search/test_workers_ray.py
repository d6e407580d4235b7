"""Workers on a Ray cluster that is started here."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from loopwright.errors import ArgumentError, LoopwrightError
from loopwright.models.images import load_minibatch
from loopwright.models.resolve import resolve
from loopwright.models.trace import trace
from loopwright.search.judge import Judge
from loopwright.search.space import Limits, SearchSpace
from loopwright.search.workers import LocalCrew, RayCrew, on_ray
from loopwright.search.workers.portable import portable
from loopwright.store import Store
from tests.search.test_workers import alive, always_ends, ends, never, process, raises_unpicklable, refused, scaled

pytest.importorskip("ray", reason="Ray is not installed: pip install 'loopwright[ray]'")
pytest.importorskip("cloudpickle")


@pytest.fixture(scope="module")
def crew() -> Iterator[RayCrew]:
    with RayCrew.connect("local", 2) as connected:
        yield connected


def test_results_come_in_the_order_of_the_items(crew):
    with crew.workers(10) as workers:
        assert list(workers.map(scaled, range(20))) == [10 * item for item in range(20)]
        assert list(workers.map(scaled, [])) == []


def test_workers_are_other_processes_with_one_thread_each_and_end_with_the_context(crew):
    with crew.workers(None) as workers:
        found = set(workers.map(process, range(12)))
    assert {threads for _, threads in found} == {1}
    pids = {pid for pid, _ in found}
    assert os.getpid() not in pids
    assert 1 <= len(pids) <= 2
    ended_by = time.monotonic() + 20
    while alive(pids) and time.monotonic() < ended_by:
        time.sleep(0.1)
    assert alive(pids) == []


def test_a_worker_that_is_killed_loses_nothing(crew, tmp_path: Path):
    with crew.workers(tmp_path / "killed") as workers:
        assert list(workers.map(ends, range(8))) == list(range(8))
        assert (tmp_path / "killed").exists()


def test_workers_that_are_killed_while_they_wait_are_replaced(crew):
    with crew.workers(3) as workers:
        for pid in {pid for pid, _ in workers.map(process, range(8))}:
            os.kill(pid, signal.SIGKILL)
        assert list(workers.map(scaled, range(8))) == [3 * item for item in range(8)]


def test_work_that_always_ends_its_worker_is_one_clear_error(crew):
    with crew.workers(None) as workers:
        with pytest.raises(LoopwrightError, match=r"^a Ray worker was lost \(ActorDiedError\), and so were 2 others"):
            list(workers.map(always_ends, range(6)))
        assert list(workers.map(refused, [0, 1])) == [0, 1]


def test_what_the_work_raises_is_raised(crew):
    with crew.workers(None) as workers:
        with pytest.raises(ArgumentError, match="not 3"):
            list(workers.map(refused, range(8)))
        with pytest.raises(LoopwrightError, match="1 and 2"):
            list(workers.map(raises_unpicklable, [0]))
        assert list(workers.map(refused, [0, 1])) == [0, 1]


def test_an_interrupt_ends_workers_that_are_busy(crew):
    def items() -> Iterator[int]:
        yield 0
        raise KeyboardInterrupt

    with crew.workers(4) as workers:
        with pytest.raises(KeyboardInterrupt):
            list(workers.map(never, items()))
        assert list(workers.map(scaled, [1, 2])) == [4, 8]


OWN = """
import torch
from torch import nn

class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.body = nn.Conv2d(16, 16, 3, padding=1)
        self.classes = nn.Linear(16, 10)

    def forward(self, x):
        return self.classes(torch.relu(self.body(torch.relu(self.stem(x)))).mean((2, 3)))
"""


def test_verdicts_on_a_network_of_the_user_s_own_are_those_of_local_workers(crew, tmp_path: Path):
    (tmp_path / "own.py").write_text(OWN)
    network = trace(resolve(f"{tmp_path / 'own.py'}:Own", (1, 3, 8, 8)).build(0), torch.zeros(1, 3, 8, 8))
    space = SearchSpace.of(network.workloads, random.Random(0), Limits(steps=3, operators=6))
    rng, minibatch = random.Random(1), load_minibatch(None, 16, 0, (1, 3, 8, 8))
    candidates = [space.chosen(space.draw(rng)) for _ in range(8)]
    found = []
    for number, own in enumerate((crew, LocalCrew(1))):
        with (
            Store.open(tmp_path / f"{number}.sqlite") as store,
            Judge.for_search(network, space, minibatch, store, configurations=8, crew=own) as judge,
        ):
            found.append(list(judge.capacities(candidates)))
    assert found[0] == found[1]
    assert len({verdict.scores["fisher"] for verdict in found[0]}) > 1


def test_a_network_that_cannot_be_sent_is_refused():
    class Holding(nn.Module):
        def __init__(self):
            super().__init__()
            self.socket = socket.socket()

    with pytest.raises(ArgumentError, match="the network can't be sent to other machines"):
        portable(Holding())


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", "--ray 127.0.0.1:1 can't be used: Connection refused"),
        ("head", "an address is HOST:PORT, such as head:6379, or auto, or local"),
        ("nowhere.invalid:6379", "--ray nowhere.invalid:6379 can't be used: "),
    ],
)
def test_an_address_that_cannot_be_used_is_one_line(address: str, message: str):
    with pytest.raises(ArgumentError) as raised:
        RayCrew.connect(address)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_something_else_that_listens_there_is_given_up(monkeypatch):
    monkeypatch.setattr(on_ray, "CONNECTED_S", 8.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(ArgumentError, match=f"--ray {address}: no Ray cluster answers there within 8 s"):
            RayCrew.connect(address)


KILLED = """
import os, signal
from loopwright.search.workers import RayCrew
from tests.search.test_workers import process
with RayCrew.connect("local", 1) as crew, crew.workers(None) as workers:
    print(*{pid for pid, _ in workers.map(process, range(2))}, crew._process.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_nothing_is_left_of_a_run_that_is_killed():
    done = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, check=False)
    pids = set(map(int, done.stdout.split()))
    assert len(pids) == 2, done.stderr
    assert done.stderr == ""
    ended_by = time.monotonic() + 30
    while alive(pids) and time.monotonic() < ended_by:
        time.sleep(0.2)
    assert alive(pids) == []
