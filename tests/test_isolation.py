"""Faults of work in a process of its own: each is one exception here, and the next call works."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from loopwright.errors import ArgumentError
from loopwright.isolation import CRASH, MEMORY, TIME, Bounds, FaultError, Isolated

MIB = 1024**2


def pid() -> int:
    return os.getpid()


def crash(how: int) -> None:
    os.write(2, b"first line\nlast line\n")
    os.kill(os.getpid(), how)


def hang(started: Path | None = None) -> None:
    sleeping = subprocess.Popen(["sleep", "60"])
    if started is not None:
        started.write_text(str(sleeping.pid))
    time.sleep(60)


def allocate() -> None:
    held = []
    while True:
        held.append(b"x" * (8 * MIB))
        time.sleep(0.001)


def refuse() -> None:
    raise ArgumentError("not this")


def refuse_memory() -> None:
    raise MemoryError


def alive(process: int) -> bool:
    status = Path(f"/proc/{process}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


def ends_soon(process: int) -> bool:
    end = time.monotonic() + 5
    while alive(process) and time.monotonic() < end:
        time.sleep(0.05)
    return not alive(process)


def test_one_process_serves_all_calls_and_ends_with_the_context():
    with Isolated() as isolated:
        first = isolated.call(pid)
        assert first == isolated.call(pid) != os.getpid()
        assert isolated.call(divmod, 7, 2) == (3, 1)
    assert not alive(first)


@pytest.mark.parametrize(("how", "name"), [(signal.SIGSEGV, "SIGSEGV"), (signal.SIGABRT, "SIGABRT")])
def test_a_crash_is_told_with_the_last_line_and_the_next_call_works(how: int, name: str):
    with Isolated() as isolated:
        before = isolated.call(pid)
        with pytest.raises(FaultError, match=f"^ended by {name}: last line$") as fault:
            isolated.call(crash, how)
        assert fault.value.stage == CRASH
        assert isolated.call(pid) != before


def test_a_hang_is_ended_with_all_that_it_started(tmp_path: Path):
    with Isolated(Bounds(seconds=1)) as isolated:
        with pytest.raises(FaultError, match="^not done within 1 s$") as fault:
            isolated.call(hang, tmp_path / "started")
        assert fault.value.stage == TIME
    assert ends_soon(int((tmp_path / "started").read_text()))


@pytest.mark.parametrize("work", [allocate, refuse_memory])
def test_too_much_memory_is_told(work):
    with Isolated(Bounds(memory_bytes=256 * MIB)) as isolated:
        with pytest.raises(FaultError, match=r"^more than 0.25 GiB of memory$") as fault:
            isolated.call(work)
        assert fault.value.stage == MEMORY
        assert isolated.call(pid)


def test_what_the_work_raises_is_raised_and_the_process_stays():
    with Isolated() as isolated:
        before = isolated.call(pid)
        with pytest.raises(ArgumentError, match="^not this$"):
            isolated.call(refuse)
        assert isolated.call(pid) == before


PARENT = """
import sys, tests.test_isolation as own
from loopwright.isolation import Isolated
isolated = Isolated()
print(isolated.call(own.pid), flush=True)
isolated.call(own.hang)
"""


def test_the_process_ends_with_its_parent_even_while_it_is_busy():
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    assert ends_soon(child)


def test_the_work_s_process_goes_first_where_memory_runs_out():
    with Isolated() as isolated:
        assert isolated.call(Path("/proc/self/oom_score_adj").read_text).strip() == "1000"
