"""Many processes at one store, and processes that end at any point."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from random import Random
from time import sleep

import pytest

from loopwright.store import Store, TimingKey, VerdictKey

PROCESSES = 6

WRITER = """
import sys
from loopwright.legality.verdict import Verdict
from loopwright.store import Store, TimingKey, VerdictKey
own = float(sys.argv[2])
with Store.open(sys.argv[1]) as store:
    store.record_environment("e", {"processor": "x86"})
    for number in range(50):
        store.record_timing(TimingKey(str(number), "cpu", "s", "e", "p"), [own, own + 0.5])
        store.record_verdict(VerdictKey("net", str(number), "fisher"), Verdict(True, "fisher", "not below"))
"""


def python(code: str, *arguments: str, **options: int) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code, *arguments], text=True, **options)


def test_processes_may_make_one_store_and_lose_no_sample(where: str):
    writers = [python(WRITER, where, str(number)) for number in range(PROCESSES)]
    assert [writer.wait(120) for writer in writers] == [0] * PROCESSES
    with Store.open(where) as store:
        assert store.counts().samples == 2 * 50 * PROCESSES
        timing = store.timing(TimingKey("7", "cpu", "s", "e", "p"))
        assert store.counts().verdicts == 50
    assert timing is not None
    assert sorted(timing.samples_ms) == sorted(number + half for number in range(PROCESSES) for half in (0.0, 0.5))


KILLED = """
import sys
from loopwright.store import Store, TimingKey
with Store.open(sys.argv[1]) as store:
    number = 0
    while True:
        store.record_timing(TimingKey(str(number), "cpu", "s" * 5000, "e", "p"), [float(number)] * 9)
        print(number, flush=True)
        number += 1
"""


@pytest.mark.parametrize("seed", range(4))
def test_a_killed_process_loses_nothing_that_it_had_recorded(where: str, seed: int):
    child = python(KILLED, where, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == "0\n"
    sleep(Random(seed).uniform(0.05, 0.4))
    os.kill(child.pid, signal.SIGKILL)
    recorded = [0, *(int(line) for line in child.stdout if line.endswith("\n"))]
    child.wait(10)
    with Store.open(where) as store:
        found = store.timings_by_operator("cpu", "e", map(str, range(len(recorded) + 2)))
        assert recorded == list(range(len(recorded)))
        assert len(found) in (len(recorded), len(recorded) + 1), "the last may have been recorded and not been told"
        assert all(timing.samples_ms == (float(operator),) * 9 for operator, [timing] in found.items())
        store.record_timing(TimingKey("after", "cpu", "s", "e", "p"), [1.0])


READER = """
import sys
from time import perf_counter
from loopwright.store import Store, VerdictKey
with Store.open(sys.argv[1]) as store:
    print("open", flush=True)
    sys.stdin.readline()
    began = perf_counter()
    assert store.verdict(VerdictKey("net", "1", "fisher")) is None
    print(perf_counter() - began, flush=True)
"""


def test_a_reader_waits_for_no_writer(tmp_path: Path):
    path = tmp_path / "store.sqlite"
    with Store.open(path) as store:
        reader = python(READER, str(path), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert reader.stdout is not None
        assert reader.stdout.readline() == "open\n"
        with store._writing():
            said, _ = reader.communicate("go\n", timeout=30)
        assert float(said) < 5
        assert store.verdict(VerdictKey("net", "1", "fisher")) is None
