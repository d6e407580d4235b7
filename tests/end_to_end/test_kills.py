"""A run that is killed again and again ends as if it had not been."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

from loopwright.store import Store
from tests.end_to_end.small import FACTORY, FEW

HERE = Path(__file__).parent
ENOUGH = ("--operators", "10")
"""So many are timed that something is found, whichever a processor's estimates put first."""
OF_A_SESSION = ("command", "created", "store", "stages", "notes")


def content(folder: Path) -> dict[str, bytes]:
    """What a result says, but for what depends on when its sessions were."""
    found = {path.name: path.read_bytes() for path in [*folder.glob("*.safetensors"), *folder.glob("numbers/*.csv")]}
    summary = json.loads((folder / "summary.json").read_text())
    kept = {name: value for name, value in summary.items() if name not in OF_A_SESSION}
    return found | {"network.json": (folder / "network.json").read_bytes(), "summary": json.dumps(kept).encode()}


def test_a_run_that_is_killed_at_random_moments_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    (tmp_path / "small.py").write_text(FACTORY)
    options = json.dumps({"folder": str(tmp_path), "seed": 3, "kills": 20, "longest_s": 0.8})
    command = ["optimize", f"{tmp_path / 'small.py'}:Small", *FEW, *ENOUGH]
    path = [str(HERE / "deterministic"), *filter(None, sys.path)]
    done = subprocess.run(
        [sys.executable, str(HERE / "sessions.py"), options, *command],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        capture_output=True,
        text=True,
        check=True,
    )
    sessions = json.loads(done.stdout)
    assert sessions["whole"] == 0
    *killed, (_, last) = sessions["killed"]
    assert last == 0
    assert {status for _, status in killed} == {signal.SIGKILL}
    assert len(killed) == 20
    assert content(tmp_path / "killed") == content(tmp_path / "whole")
    assert content(tmp_path / "killed")["network.json"].count(b"sequence") > 0, "something was found"
    recorded = Counter((tmp_path / "log").read_text().splitlines())
    assert max(count for line, count in recorded.items() if line.startswith("verdict")) == 1
    assert sum(line.startswith("networks") for line in recorded) == 2, "networks are timed once by each run"
    with Store.open(tmp_path / "whole.sqlite") as whole, Store.open(tmp_path / "killed.sqlite") as resumed:
        assert whole.counts() == resumed.counts()
    for name in ("whole", "killed"):
        with closing(sqlite3.connect(tmp_path / f"{name}.sqlite")) as file:
            assert file.execute("SELECT max(n) FROM (SELECT count(*) n FROM timings GROUP BY digest)").fetchone() == (
                1,
            )
        assert not (tmp_path / name / ".unfinished").exists()
