"""A training that is killed at random moments and resumed until it ends; a program for `test_kills`.

Every session is a process forked from this one, which has imported what takes long, and has run nothing on threads.
Standard output is one JSON object: how the training that nobody killed ended, and how each session of the other.
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

from loopwright.cli.main import run
from loopwright.models.trace import trace
from loopwright.training import train

STEPS = 1000
"""More than any training takes; sessions write a line for every one."""


def start(arguments: list[str], output: Path) -> int:
    """``loopwright ARGUMENTS`` in a process of its own, which writes to the file ``output``."""
    output.write_text("")
    process = os.fork()
    if process == 0:
        file = os.open(output, os.O_WRONLY | os.O_APPEND)
        os.dup2(file, 1)
        os.dup2(file, 2)
        os._exit(run(arguments))
    return process


def kill(process: int, output: Path, steps: int, delay_s: float) -> int:
    """Kills it so long after so many steps, if it has not ended by then; how it ended."""
    while output.read_text().count('"advanced"') < steps:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.001)
    time.sleep(delay_s)
    os.kill(process, signal.SIGKILL)
    return os.waitpid(process, 0)[1]


def killed(folder: Path, rng: random.Random, kills: int, most: int, arguments: list[str]) -> list[int]:
    """How each session of the training in ``killed`` ended."""
    out, output, statuses = folder / "killed", folder / "output", list[int]()
    while True:
        begun = (out / ".training" / "request.json").exists()
        given = ["train", "--resume", str(out), "--progress", "json"] if begun else [*arguments, "--out", str(out)]
        process = start(given, output)
        last = len(statuses) >= kills
        steps, delay_s = (STEPS, 0) if last else (rng.randint(0, most), rng.uniform(0, 0.02))
        statuses.append(kill(process, output, steps, delay_s))
        if last or statuses[-1] != signal.SIGKILL:
            return statuses


def main(folder: Path, seed: int, kills: int, most: int, every_s: float, arguments: list[str]) -> None:
    torch.set_num_threads(1)
    trace(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), torch.zeros(1, 3, 8, 8))  # what it imports takes seconds
    train.CHECKPOINT_EVERY_S, train.TOLD_EVERY_S = every_s, 0.0
    arguments = ["train", *arguments, "--progress", "json"]
    whole = kill(start([*arguments, "--out", str(folder / "whole")], folder / "output"), folder / "output", STEPS, 0)
    sessions = killed(folder, random.Random(seed), kills, most, arguments)
    sys.stdout.write(json.dumps({"whole": whole, "killed": sessions}))


if __name__ == "__main__":
    given, *arguments = sys.argv[1:]
    options = json.loads(given)
    folder, seed, kills, most, every_s = (options[name] for name in ("folder", "seed", "kills", "most", "every_s"))
    main(Path(folder), seed, kills, most, every_s, arguments)
