"""Processes of participants end when they should, with all that they started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep

import pytest

from loopwright.baselines.worker import Limits, ParticipantError, Worker
from loopwright.measurement.timer import Protocol
from tests.baselines import fakes

SHORT = Protocol(rounds=1, sample_ms=0.1, warm_up=0)


def wait_for(path: Path, limit_s: float = 60.0) -> str:
    """The content of a file that is about to be written."""
    end = monotonic() + limit_s
    while not path.exists():
        assert monotonic() < end, f"{path} was not written"
        sleep(0.05)
    return path.read_text()


def has_ended(pid: int, limit_s: float = 10.0) -> bool:
    """Whether the process is gone, or a zombie that nobody waits for."""
    end = monotonic() + limit_s
    while monotonic() < end:
        status = Path(f"/proc/{pid}/stat")
        if not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        sleep(0.05)
    return False


def test_samples_are_taken_one_by_one(tmp_path: Path) -> None:
    with Worker(fakes.Fast(), fakes.task_in(tmp_path), SHORT, Limits()) as worker:
        prepared = worker.prepared()
        assert prepared.outputs[0].shape == fakes.SHAPE
        assert worker.sample_ms() > 0
        assert worker.sample_ms() > 0


def test_one_that_hangs_is_ended_at_the_limit(tmp_path: Path) -> None:
    with (
        Worker(fakes.Hanging(), fakes.task_in(tmp_path), SHORT, Limits(setup_s=0.5)) as worker,
        pytest.raises(ParticipantError, match="no answer within 0.5 s"),
    ):
        worker.prepared()


def test_its_own_processes_end_with_it(tmp_path: Path) -> None:
    worker = Worker(fakes.Hanging(), fakes.task_in(tmp_path), SHORT, Limits())
    descendant = int(wait_for(tmp_path / "descendant"))
    worker.close()
    worker.close()
    assert has_ended(descendant)


INTERRUPTED = """
import sys
from pathlib import Path
from loopwright.baselines.networks import benchmark_network
from loopwright.search.progress import SilentProgress
from tests.baselines import fakes

if __name__ == "__main__":
    benchmark_network(fakes.task_in(Path(sys.argv[1])), [fakes.Hanging(), fakes.Ours()], SilentProgress())
"""


def interrupted(tmp_path: Path) -> tuple[subprocess.Popen[bytes], int]:
    """A benchmark in a process of its own, and the process that its hanging participant has started."""
    script = tmp_path / "script.py"
    script.write_text(INTERRUPTED)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    parent = subprocess.Popen([sys.executable, str(script), str(tmp_path)], stderr=subprocess.PIPE, env=environment)
    return parent, int(wait_for(tmp_path / "descendant"))


def test_an_interruption_ends_all_processes(tmp_path: Path) -> None:
    parent, descendant = interrupted(tmp_path)
    parent.send_signal(signal.SIGINT)
    _, written = parent.communicate(timeout=30)
    assert b"KeyboardInterrupt" in written
    assert has_ended(descendant)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's death")
def test_participants_end_with_a_benchmark_that_is_killed(tmp_path: Path) -> None:
    parent, descendant = interrupted(tmp_path)
    participant = int(Path(f"/proc/{descendant}/stat").read_text().rpartition(")")[2].split()[1])
    parent.kill()
    parent.communicate(timeout=30)
    try:
        assert has_ended(participant)
    finally:
        os.kill(descendant, signal.SIGKILL)
