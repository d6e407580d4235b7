"""Every runtime that is installed computes what PyTorch computes; through the command line."""

from __future__ import annotations

import csv
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest

from loopwright.baselines.participant import registered
from loopwright.cli.main import run
from loopwright.targets.cpu import cpu

NET = """
from torch import nn

def tiny():
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10),
    )
"""


ONNX = ("onnxruntime", "openvino", "openvino-f32")


@dataclass(frozen=True)
class Ran:
    """A short run of everybody on a small network: who is not installed, what was written, and the rows of the CSV."""

    network: Path
    absent: list[str]
    out: str
    error: str
    rows: list[dict[str, str]]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """One run, since every process takes seconds to start."""
    folder, known = tmp_path_factory.mktemp("peers"), registered()
    absent = [name for name, own in known.items() if own.runs_on(cpu()) and own.missing()]
    network, out, error = folder / "net.py", StringIO(), StringIO()
    network.write_text(NET)
    peers = ["eager", *(name for name in ONNX if name not in absent), *absent]
    with redirect_stdout(out), redirect_stderr(error):
        assert run([
            "benchmark", f"{network}:tiny", "--input", "1,3,8,8", "--rounds", "1", "--threads", "1", "--trials", "1",
            "--peers", ",".join(peers), "--csv", str(folder / "all.csv"), "--store", str(folder / "store.sqlite"),
        ]) == 0  # fmt: skip
    with (folder / "all.csv").open() as file:
        return Ran(network, absent, out.getvalue(), error.getvalue(), list(csv.DictReader(file)))


def row(ran: Ran, name: str) -> dict[str, str]:
    return next(own for own in ran.rows if own["participant"] == name)


def test_ours_beside_eager(ran: Ran) -> None:
    assert [ran.rows[0]["participant"], ran.rows[-1]["participant"]] == ["eager", "loopwright"]
    for name in ("eager", "loopwright"):
        assert float(row(ran, name)["latency_ms"]) > 0
        assert float(row(ran, name)["difference"]) < 1e-4
    assert "against ours" in ran.out
    assert ran.out.splitlines()[-1].startswith(f"{ran.network}:tiny at 1×3×8×8, 1 thread, float32: ")
    assert "eager: ready after" in ran.error


@pytest.mark.parametrize("name", ONNX)
def test_peers_that_read_onnx(ran: Ran, name: str) -> None:
    if name in ran.absent:
        pytest.skip(f"{name} is one of the peers, an optional extra")
    peer = row(ran, name)
    assert float(peer["latency_ms"]) > 0
    assert float(peer["difference"]) < (1e-4 if peer["precision"] == "float32" else 0.1)
    assert peer["precision"] in ("float32", "bfloat16", "float16")
    if name != "openvino":
        assert peer["precision"] == "float32"


def test_peers_that_are_not_installed_are_named(ran: Ran) -> None:
    if not ran.absent:
        pytest.skip("all peers are installed")
    for name in ran.absent:
        assert f"{name}: not installed: pip install 'loopwright[peers]'" in ran.out
