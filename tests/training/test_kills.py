"""Trainings that are killed and go on end with the same curve and the same weights, bit for bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training.small import SHAPE, write_data, write_network

PROGRAM = Path(__file__).parent / "sessions.py"
WRITTEN = ("training.csv", "weights.safetensors", "network.json")


@pytest.mark.parametrize(("every_s", "kills", "most"), [(0.0, 12, 8), (0.05, 8, 30), (1e9, 3, 40)])
def test_a_training_that_is_killed_ends_as_if_it_had_not_been(
    tmp_path: Path, every_s: float, kills: int, most: int
) -> None:
    network, data = write_network(tmp_path), write_data(tmp_path / "data")
    options = {"folder": str(tmp_path), "seed": kills, "kills": kills, "most": most, "every_s": every_s}
    arguments = [f"{network}:small", "--input", SHAPE, "--data", str(data), "--epochs", "24", "--batch", "16"]
    done = subprocess.run(
        [sys.executable, str(PROGRAM), json.dumps(options), *arguments, "--cutout", "3"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=True,
    )
    sessions = json.loads(done.stdout)
    *killed, last = sessions["killed"]
    assert (sessions["whole"], last) == (0, 0), (tmp_path / "output").read_text()
    assert set(killed) == {signal.SIGKILL}
    assert len(killed) >= min(kills, 4) - 1
    for name in WRITTEN:
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    assert json.loads((tmp_path / "killed" / "training.json").read_text())["resumed"] > 0
    assert not list((tmp_path / "killed").glob(".*"))
