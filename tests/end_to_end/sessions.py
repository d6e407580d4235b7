"""A run that is killed at random moments and resumed until it ends; a program for `test_resume`.

Every session is a process forked from this one, which has imported what takes long, and has run nothing on threads.
Standard output is one JSON object: how long a run took that nobody killed, and how each session of the other ended.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from torch import nn

import loopwright.api  # noqa: F401 - so that no session imports it
from loopwright.cli.main import run
from loopwright.legality.verdict import Verdict
from loopwright.measurement.timer import Protocol
from loopwright.models.trace import trace
from loopwright.search import run as search_run
from loopwright.store import Store, VerdictKey

MOMENTS = ("", "Transform: ", "Judge: ", "Time: ", "Time 100 %")
"""What a session has written when the wait for its end begins; the last is the beginning of the delivery."""


class Session:
    """``loopwright ARGUMENTS`` in a process of its own, which writes to the file ``output``."""

    def __init__(self, arguments: list[str], output: Path):
        self._output = output
        output.write_text("")
        self.status: int | None = None
        self._process = os.fork()
        if self._process == 0:
            file = os.open(output, os.O_WRONLY | os.O_APPEND)
            os.dup2(file, 1)
            os.dup2(file, 2)
            os._exit(run(arguments))

    def wait(self) -> None:
        """Until it ends by itself."""
        self.status = os.waitpid(self._process, 0)[1]

    def kill(self, moment: str, delay_s: float) -> None:
        """So long after it has written ``moment``, if it has not ended by then."""
        while self._runs() and not self._has_written(moment):
            time.sleep(0.005)
        end = time.monotonic() + delay_s
        while self._runs() and time.monotonic() < end:
            time.sleep(0.005)
        if self.status is None:
            os.kill(self._process, signal.SIGKILL)
            self.wait()

    def _runs(self) -> bool:
        if self.status is None:
            ended, status = os.waitpid(self._process, os.WNOHANG)
            self.status = status if ended else None
        return self.status is None

    def _has_written(self, moment: str) -> bool:
        lines = self._output.read_text().splitlines()
        if moment.endswith("100 %"):
            return any(_is_last(line) for line in lines if " Time " in line)
        return not moment or any(moment in line for line in lines)


def _is_last(line: str) -> bool:
    """Whether ``[ 1.0 s] Time 6/6  drawn ...`` counts to its end."""
    done, _, total = line.partition(" Time ")[2].split()[0].partition("/")
    return done == total


def log_what_is_recorded(log: Path) -> None:
    """Writes a line for every verdict that is recorded, and for every time that networks are timed."""
    record, measure = Store.record_verdict, search_run.measure
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def recording(store: Store, key: VerdictKey, verdict: Verdict) -> None:
        record(store, key, verdict)
        os.write(file, f"verdict {store.name} {key.digest}\n".encode())

    def measuring(*arguments: object) -> object:
        os.write(file, f"networks {os.getpid()}\n".encode())
        return measure(*arguments)

    Store.record_verdict = recording
    search_run.measure = measuring


def killed(folder: Path, seed: int, kills: int, longest_s: float, arguments: list[str]) -> list[tuple[str, int | None]]:
    """Where ``loopwright ARGUMENTS --out FOLDER/killed`` was killed and how it ended, session by session."""
    out, rng, sessions = folder / "killed", random.Random(seed), []
    arguments = [*arguments, "--store", str(folder / "killed.sqlite"), "--out", str(out)]
    while True:
        session = Session(["optimize", "--resume", str(out)] if out.exists() else arguments, folder / "output")
        if len(sessions) < kills:
            moment = rng.choice(MOMENTS)
            session.kill(moment, rng.uniform(0, longest_s))
        else:
            moment = "end"
            session.wait()
        sessions.append((moment, session.status))
        if session.status != signal.SIGKILL:
            return sessions


def main(folder: Path, seed: int, kills: int, longest_s: float, arguments: list[str]) -> None:
    torch.set_num_threads(1)
    trace(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), torch.zeros(1, 3, 8, 8))  # what it imports takes seconds
    log_what_is_recorded(folder / "log")
    search_run.NETWORKS = Protocol(rounds=31, sample_ms=5.0)
    start = time.monotonic()
    whole = Session(
        [*arguments, "--store", str(folder / "whole.sqlite"), "--out", str(folder / "whole")], folder / "output"
    )
    whole.wait()
    seconds = time.monotonic() - start
    sessions = killed(folder, seed, kills, longest_s, arguments)
    found = {"seconds": seconds, "total": time.monotonic() - start, "whole": whole.status, "killed": sessions}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    given, *arguments = sys.argv[1:]
    options = json.loads(given)
    main(Path(options["folder"]), options["seed"], options["kills"], options["longest_s"], arguments)
