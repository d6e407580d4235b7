"""Runs that are ended, by whatever it may be, and go on."""

from __future__ import annotations

import json
import shutil
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import loopwright
from loopwright.cli.main import run
from loopwright.errors import ArgumentError
from loopwright.search import run as search_run
from loopwright.search import run_folder
from loopwright.store import Store
from tests.end_to_end.small import FACTORY, FEW


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a network, and a run of it that was interrupted when its networks were to be timed."""
    folder = tmp_path_factory.mktemp("base")
    (folder / "small.py").write_text(FACTORY)

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        patched.setattr(search_run, "measure", interrupt)
        assert run(["optimize", "small.py:Small", "--out", "run", "--store", "store.sqlite", *FEW]) == 130
    return folder


@pytest.fixture
def folder(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, as if the run had been started there; the working directory."""
    copied = tmp_path / "copied"
    shutil.copytree(base, copied)
    state = copied / "run" / "run.json"
    state.write_text(state.read_text().replace(str(base), str(copied)))
    monkeypatch.chdir(copied)
    return copied


@pytest.fixture
def refusal(capfd: pytest.CaptureFixture[str]) -> Any:
    """Gives the one line with which a command refuses."""

    def refused(*arguments: str) -> str:
        capfd.readouterr()
        assert run(arguments) == 2
        said = capfd.readouterr()
        assert said.out == ""
        lines = [line for line in said.err.splitlines() if not line.startswith(("[", " ", "small"))]
        assert len([line for line in lines if line.startswith("error: ")]) == 1, said.err
        return lines[-1]

    return refused


def test_an_interrupted_run_says_how_to_go_on_and_does(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(search_run, "measure", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert run(["optimize", "--resume", "run"]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "interrupted; go on with loopwright optimize --resume run"

    def never(*_: object) -> None:
        raise AssertionError("the store was asked to keep something that it has")

    with monkeypatch.context() as patched:
        patched.setattr(Store, "record_timing", never)
        patched.setattr(Store, "record_verdict", never)
        assert run(["optimize", "--resume", "run"]) == 0
    assert "report: run/report.html" in capsys.readouterr().out
    summary = json.loads((folder / "run" / "summary.json").read_text())
    assert summary["command"].startswith("loopwright optimize small.py:Small --out run")
    assert summary["notes"][-1].startswith("this run was ended and went on 2 times")
    assert loopwright.load("run").eval()(torch.zeros(1, 3, 12, 12)).shape == (1, 10)
    before = {path: path.read_bytes() for path in (folder / "run").rglob("*") if path.is_file()}
    assert run(["optimize", "--resume", "run"]) == 0
    assert capsys.readouterr().out == "the run in run is finished; its report is run/report.html\n"
    assert {path: path.read_bytes() for path in (folder / "run").rglob("*") if path.is_file()} == before


def test_no_command_takes_an_unfinished_run_for_a_result(folder: Path, refusal: Any) -> None:
    (folder / "run" / "network.json").write_text("{}")
    (folder / "run" / "summary.json").write_text("{}")
    how = "go on with loopwright optimize --resume run"
    for command in (["report", "run"], ["compile", "run", "-o", "net.so"], ["benchmark", "run"]):
        assert refusal(*command).endswith(f"the run in run is not finished; {how}")
    assert f"holds a run that is not finished; {how}, or remove it" in refusal("optimize", "resnet18", "--out", "run")
    with pytest.raises(ArgumentError, match=how):
        loopwright.load("run")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--resume", "nowhere"], "there is no folder nowhere"),
        (["--resume", "."], ". holds no run that could go on"),
        (["--resume", "run", "--seed", "1"], "--resume goes on with what the run was given; leave out --seed"),
        (["--resume", "run", "small.py:Small"], "leave out MODEL"),
        (["--resume", "run", "--out", "other"], "leave out --out"),
        (["--resume", "run", "--store", "postgresql://ann:s3cr3t@127.0.0.1:CLOSED/team"], "can't be reached"),
        (["--resume", "run", "--store", "small.py"], "small.py is damaged or not a Loopwright store"),
    ],
)
def test_what_can_t_go_on_is_told_in_one_line(arguments: list[str], message: str, folder: Path, refusal: Any) -> None:
    before = (folder / "run" / "run.json").read_text()
    if any("postgresql" in own for own in arguments):
        pytest.importorskip("psycopg")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = str(unused.getsockname()[1])
        line = refusal("optimize", *(own.replace("CLOSED", port) for own in arguments))
    assert message in line
    assert "s3cr3t" not in line
    assert (folder / "run" / "run.json").read_text() == before


def test_a_run_goes_on_with_what_it_began_with_only(
    folder: Path, refusal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "elsewhere").mkdir()
    with monkeypatch.context() as patched:
        patched.chdir(folder / "elsewhere")
        assert f"is of small.py in {folder}; go on with it there" in refusal("optimize", "--resume", "../run")
    state = folder / "run" / "run.json"
    before = state.read_text()
    state.write_text(before.replace('"calibration": ""', '"calibration": "of a table that was made again"'))
    line = refusal("optimize", "--resume", "run")
    assert "the run in run began with another table of trained networks; optimize again" in line
    state.write_text(before)
    (folder / "small.py").write_text(FACTORY.replace("16, 32, 3", "16, 32, 5"))
    assert "the run in run began with another network; optimize again" in refusal("optimize", "--resume", "run")


def test_a_newer_store_is_refused_and_the_run_stays(folder: Path, refusal: Any) -> None:
    with closing(sqlite3.connect(folder / "store.sqlite")) as file:
        file.execute("INSERT INTO loopwright_schema (version) VALUES (99)")
        file.commit()
    line = refusal("optimize", "--resume", "run")
    assert "newer" in line
    assert line.endswith("then go on with loopwright optimize --resume run")


def test_a_damaged_store_is_refused_and_the_run_stays(folder: Path, refusal: Any) -> None:
    path = folder / "store.sqlite"
    before = b"\xa5" * path.stat().st_size
    path.write_bytes(before)
    line = refusal("optimize", "--resume", "run")
    assert "store.sqlite is damaged" in line
    assert line.endswith("then go on with loopwright optimize --resume run")
    assert path.read_bytes() == before
    assert run(["optimize", "--resume", "run", "--store", "another.sqlite"]) == 0


def test_a_run_at_work_is_left_alone(folder: Path, refusal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_folder, "LOCK_PATIENCE_S", 0.1)
    with run_folder.resumed_run(folder / "run"):
        before = (folder / "run" / "run.json").read_bytes()
        assert refusal("optimize", "--resume", "run") == "error: another process works on run; wait for it, or end it"
        assert (folder / "run" / "run.json").read_bytes() == before


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "none", str(disk)], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: Path, left: int) -> Path:
    """A file that leaves so many bytes of the disk."""
    ballast = disk / "ballast"
    ballast.write_bytes(b"\0" * (shutil.disk_usage(disk).free - left))
    return ballast


def test_a_full_disk_is_told_and_the_run_goes_on_when_there_is_space(
    folder: Path, small_disk: Path, refusal: Any
) -> None:
    out = small_disk / "run"
    shutil.move(folder / "run", out)
    ballast = fill(small_disk, 64 * 1024)
    line = refusal("optimize", "--resume", str(out))
    assert "No space left on device" in line
    assert line.endswith(
        f"; free some space, or mend its permissions; then go on with loopwright optimize --resume {out}"
    )
    assert not (out / "network.json").exists()
    ballast.unlink()
    assert run(["optimize", "--resume", str(out)]) == 0
    assert loopwright.load(out) is not None


@pytest.mark.usefixtures("folder")
def test_a_full_disk_of_the_store_is_told_and_nothing_is_lost(small_disk: Path, refusal: Any) -> None:
    store = small_disk / "store.sqlite"
    Store.open(store).close()
    ballast = fill(small_disk, 48 * 1024)
    line = refusal("optimize", "--resume", "run", "--store", str(store))
    assert f"the disk of {store} is full" in line
    assert line.endswith("then go on with loopwright optimize --resume run")
    ballast.unlink()
    assert run(["optimize", "--resume", "run"]) == 0


def test_a_module_from_python_goes_on_with_the_same_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(1024, 10))
    store, out = tmp_path / "store.sqlite", tmp_path / "run"

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(search_run, "measure", interrupt)
        with pytest.raises(KeyboardInterrupt):
            loopwright.optimize(
                module, (1, 3, 8, 8), configurations=4, operators=6, images=4, legality="fisher", store=store, out=out
            )
    with pytest.raises(ArgumentError, match=r"go on with loopwright.resume\(.*, module\)"):
        loopwright.resume(out)
    other = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(1024, 10))
    with pytest.raises(ArgumentError, match="began with another network"):
        loopwright.resume(out, other)
    found = loopwright.resume(out, module)
    assert found.folder == out
    assert loopwright.load(out, module) is not None
