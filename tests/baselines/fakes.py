"""Participants that need no runtime, for the processes of a benchmark."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from time import sleep
from typing import Any

import numpy as np

from loopwright.baselines.participant import OURS, REFERENCE, Participant, Ready
from loopwright.baselines.task import Task
from loopwright.targets.target import FLOAT32

SHAPE = (1, 3, 4, 4)


def task_in(folder: Path) -> Task:
    return Task("nothing", SHAPE, "cpu", threads=1, folder=folder)


class Fast(Participant):
    """Doubles its input, and writes its name to the file ``turns`` with every run."""

    name = "fast"
    packages = ("numpy",)
    factor, precision = 2.0, FLOAT32

    def source(self, task: Task) -> Any:
        return task.folder / "turns"

    def prepare(self, source: Path, task: Task) -> Ready:
        images = task.images()

        def run() -> object:
            with source.open("a") as turns:
                turns.write(f"{self.name}\n")
            return (images * self.factor,)

        return Ready(run, self.precision)


class Reference(Fast):
    name = REFERENCE


class Ours(Fast):
    name = OURS
    stock = False


class Wrong(Fast):
    name = "wrong"
    factor = 2.01


class Chosen(Wrong):
    """Another network than the others', and with a name as folders have."""

    name = "runs/fast"
    stock, same = False, False


class Rounding(Fast):
    name = "rounding"
    factor, precision = 2.01, "bfloat16"


class Missing(Fast):
    name = "missing"
    packages = ("no-such-distribution",)


class Raising(Fast):
    name = "raising"

    def prepare(self, *_: object) -> Ready:
        raise ValueError("no such layer\nand a page of explanations")


class Crashing(Fast):
    """Ends without a word when it is first timed."""

    name = "crashing"

    def prepare(self, _: Path, task: Task) -> Ready:
        runs = iter([np.ones(SHAPE, np.float32)])
        expected = task.images() * self.factor

        def run() -> object:
            if next(runs, None) is None:
                sys.stderr.write("free(): invalid pointer\n")
                sys.stderr.flush()
                os.kill(os.getpid(), signal.SIGSEGV)
            return expected

        return Ready(run)


class Hanging(Fast):
    """Starts a process of its own, whose id it leaves in a file, and never becomes ready."""

    name = "hanging"

    def prepare(self, _: Path, task: Task) -> Ready:
        descendant = subprocess.Popen(["sleep", "600"])
        written = task.folder / "descendant.part"
        written.write_text(str(descendant.pid))
        written.rename(task.folder / "descendant")
        sleep(600)
        raise AssertionError
