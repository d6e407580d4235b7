"""Every runtime that is installed computes what PyTorch computes; through the command line."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from loopwright.baselines.participant import registered
from loopwright.cli.main import run

NET = """
from torch import nn

def tiny():
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10),
    )
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of all tests, so that our operators are tuned once."""
    return tmp_path_factory.mktemp("peers") / "store.sqlite"


def benchmark(folder: Path, store: Path, *options: str) -> list[dict[str, str]]:
    """The rows of the CSV of a short run on a small network."""
    (folder / "net.py").write_text(NET)
    arguments = ["--input", "1,3,8,8", "--rounds", "1", "--threads", "1", "--csv", str(folder / "all.csv")]
    assert run(["benchmark", f"{folder / 'net.py'}:tiny", *arguments, "--store", str(store), *options]) == 0
    with (folder / "all.csv").open() as file:
        return list(csv.DictReader(file))


def test_ours_beside_eager(tmp_path: Path, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = benchmark(tmp_path, store, "--peers", "eager")
    assert [row["participant"] for row in rows] == ["eager", "loopwright"]
    assert all(float(row["latency_ms"]) > 0 and float(row["difference"]) < 1e-4 for row in rows)
    written = capsys.readouterr()
    assert "against ours" in written.out
    assert written.out.splitlines()[-1].startswith(f"{tmp_path / 'net.py'}:tiny at 1×3×8×8, 1 threads, float32: ")
    assert "eager: ready after" in written.err


@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "openvino-f32"])
def test_peers_that_read_onnx(tmp_path: Path, store: Path, name: str) -> None:
    for package in registered()[name].packages:
        pytest.importorskip(package, reason=f"{name} is one of the peers, an optional extra")
    peer = next(row for row in benchmark(tmp_path, store, "--peers", name) if row["participant"] == name)
    assert float(peer["latency_ms"]) > 0
    assert float(peer["difference"]) < (1e-4 if peer["precision"] == "float32" else 0.1)
    assert peer["precision"] in ("float32", "bfloat16", "float16")
    if name != "openvino":
        assert peer["precision"] == "float32"


def test_peers_that_are_not_installed_are_named(
    tmp_path: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = [name for name, participant in registered().items() if participant.missing()]
    if not absent:
        pytest.skip("all peers are installed")
    benchmark(tmp_path, store, "--peers", ",".join(absent), "--trials", "1")
    assert f"{absent[0]}: not installed: pip install 'loopwright[peers]'" in capsys.readouterr().out
