"""The main job on a small network, through the command line and from Python."""

from __future__ import annotations

import io
import socket
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import loopwright
from loopwright.cli.main import run
from loopwright.report.serialisation import from_json
from loopwright.report.tables import speedup_line
from loopwright.store import Store

FACTORY = """
import torch
from torch import nn

class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(32)
        self.down = nn.Conv2d(32, 64, 3, stride=2, padding=1)
        self.same = nn.Conv2d(64, 64, 3, padding=1)
        self.classes = nn.Linear(64, 10)

    def forward(self, x):
        x = torch.relu(self.down(torch.relu(self.norm(self.stem(x)))))
        return self.classes((torch.relu(self.same(x)) + x).mean((2, 3)))

def small():
    return Small()
"""
FEW = ["--configurations", "8", "--operators", "8", "--images", "8", "--input", "1,3,16,16", "--legality", "fisher"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the network and the store are."""
    folder = tmp_path_factory.mktemp("optimize")
    (folder / "small.py").write_text(FACTORY)
    return folder


@pytest.fixture(scope="module")
def factory(place: Path) -> str:
    return f"{place / 'small.py'}:small"


@pytest.fixture(scope="module")
def store(place: Path) -> Path:
    return place / "store.sqlite"


@pytest.fixture(scope="module")
def finished(factory: str, store: Path, place: Path) -> tuple[Path, str]:
    """The first run's folder, and what it wrote to the standard output."""
    told = io.StringIO()
    with redirect_stdout(told):
        assert optimize(factory, place / "run", store) == 0
    return place / "run", told.getvalue()


def optimize(factory: str, out: Path, store: Path) -> int:
    return run(["optimize", factory, "--out", str(out), "--store", str(store), *FEW])


def test_the_command_delivers_a_folder_that_loads(finished: tuple[Path, str]) -> None:
    folder, told = finished
    summary = from_json((folder / "summary.json").read_text())
    loaded = loopwright.load(folder).eval()
    assert loaded(torch.zeros(2, 3, 16, 16)).shape == (2, 10)
    counts = {stage.name: stage.count for stage in summary.funnel}
    assert 0 < counts["drawn"] == counts["valid"] <= 8, "no more where few operators turn out faster"
    assert counts["legal by capacity"] <= counts["legal by structure"] <= counts["valid"]
    assert summary.chosen.parameters == sum(parameter.numel() for parameter in loaded.parameters())
    assert told.splitlines()[-1] == speedup_line(summary)
    assert (folder / "report.html").stat().st_size > 10_000
    assert [candidate.number for candidate in summary.candidates] == list(range(1, counts["drawn"] + 1))
    timed = [candidate for candidate in summary.candidates if candidate.operators]
    assert len(timed) == counts["legal by capacity"]
    assert sum(candidate.network_latency_ms is not None for candidate in summary.candidates) == counts["timed"]
    for candidate in timed:
        operators = [summary.operators[index] for index in candidate.operators]
        assert [operator.workload for operator in operators] == [layer.operator for layer in summary.layers]
        assert candidate.latency_ms == pytest.approx(sum(operator.latency_ms for operator in operators))
        others = summary.original.macs - sum(layer.macs_before for layer in summary.layers)
        assert candidate.macs == others + sum(operator.macs for operator in operators)
        assert candidate.scores["fisher"] >= candidate.scores["fisher_original"] * 0.999
    assert sum(candidate.accepted for candidate in summary.candidates) == counts["legal by capacity"]


def test_a_report_is_written_again_from_a_run_s_folder(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    page = folder / "report.html"
    before = page.read_bytes()
    assert run(["report", str(folder)]) == 0
    assert page.read_bytes() == before


@pytest.mark.usefixtures("finished")
def test_by_default_candidates_are_held_to_their_predicted_accuracy(factory: str, store: Path, tmp_path: Path) -> None:
    few = ["--configurations", "6", "--operators", "8", "--input", "1,3,16,16", "--store", str(store)]
    assert run(["optimize", factory, "--out", str(tmp_path / "run"), *few]) == 0
    summary = from_json((tmp_path / "run" / "summary.json").read_text())
    judged = [own.scores for own in summary.candidates if "predicted_drop" in own.scores]
    assert judged
    assert all(own["images"] == 32 for own in judged)
    assert all(own["predicted_drop_low"] <= own["predicted_drop"] <= own["predicted_drop_high"] for own in judged)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--images", "8"], "calibrated on 32 images, and 8 are given"),
        (["--legality", "fischer"], "unknown legality check 'fischer'; known: calibrated, fisher"),
        (["--tolerance", "nan"], "the tolerance is nan"),
        (["--calibration", "nowhere.csv"], "nowhere.csv is no calibration table"),
    ],
)
def test_what_the_calibrated_check_cannot_use_is_one_line(
    factory: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    few = ["--input", "1,3,16,16", "--store", str(tmp_path / "store.sqlite")]
    assert run(["optimize", factory, "--out", str(tmp_path / "run"), *few, *options]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert "Time" not in told, "it is refused before anything is timed"
    assert not (tmp_path / "run").exists()


def test_a_second_run_judges_and_times_nothing(
    finished: tuple[Path, str], factory: str, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("the store was asked to keep something that it has")

    monkeypatch.setattr(Store, "record_timing", never)
    monkeypatch.setattr(Store, "record_verdict", never)
    assert optimize(factory, tmp_path / "second", store) == 0
    first, second = (from_json((folder / "summary.json").read_text()) for folder in (finished[0], tmp_path / "second"))
    assert [stage for stage in first.funnel if stage.name != "chosen"] == [
        stage for stage in second.funnel if stage.name != "chosen"
    ], "only the choice among finalists is measured anew"
    assert all(use.made > 0 for use in first.store)
    assert {use.made for use in second.store} == {0}


def test_a_module_from_python(tmp_path: Path) -> None:
    module = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.Flatten(), nn.Linear(1024, 10)
    )
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    found = loopwright.optimize(
        module,
        torch.zeros(1, 3, 8, 8),
        configurations=6,
        operators=6,
        images=4,
        legality="fisher",
        store=tmp_path / "store.sqlite",
        out=tmp_path / "run",
    )
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    x = np.random.default_rng(0).standard_normal((1, 3, 8, 8), dtype=np.float32)
    with torch.no_grad():
        expected = found.module.eval()(torch.from_numpy(x)).numpy()
    assert np.allclose(found.compiled(x), expected, atol=1e-4)
    assert found.summary.speedup > 0
    assert torch.equal(
        loopwright.load(tmp_path / "run", module).eval()(torch.from_numpy(x)), torch.from_numpy(expected)
    )


UNTRACEABLE = """
from torch import nn

class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)

    def forward(self, x):
        y = self.conv(x)
        if y.sum() > 0:
            y = y * 2
        return y.mean((2, 3))
"""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resnet35"], "unknown model 'resnet35'; known: densenet161, resnet18, resnet34"),
        (["resnet34", "--target", "tpu"], "unknown target 'tpu'; known: cpu"),
        (["nowhere.py:net", "--input", "1,3,8,8"], "there is no file nowhere.py"),
        (["branching.py:Branching", "--input", "1,3,8,8"], "branching.py:11: if y.sum() > 0:"),
        (["resnet34", "--data", "nowhere"], "data folder nowhere does not exist"),
        (["resnet34", "--data", "."], "holds no .parquet file"),
        (["resnet34", "--images", "513"], "there are only 512"),
        (["resnet34", "--out", "file/inside"], "can't be made (File exists); name a folder that you may write to"),
        (["resnet34", "--out", "held"], "already holds a run; name another folder"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "branching.py").write_text(UNTRACEABLE)
    (tmp_path / "file").write_text("")
    (tmp_path / "held").mkdir()
    (tmp_path / "held" / "network.json").write_text("{}")
    before = sorted(tmp_path.rglob("*"))
    out = [] if "--out" in arguments else ["--out", "new/run"]
    assert run(["optimize", *arguments, *out, "--store", "store.sqlite"]) == 2
    said = capfd.readouterr()
    assert message in said.err
    assert len(said.err.splitlines()) == 1
    assert said.out == ""
    left = {path.name for path in set(tmp_path.rglob("*")) - set(before)} - {"__pycache__"}
    assert all(name.startswith(("store.sqlite", "branching.cpython")) for name in left)


def test_a_server_that_cannot_be_reached_is_one_line_without_the_password(
    factory: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("psycopg")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"postgresql://ann:s3cr3t@127.0.0.1:{unused.getsockname()[1]}/team"
        assert run(["optimize", factory, "--out", str(tmp_path / "run"), *FEW, "--store", address]) == 2
    said = capfd.readouterr()
    [line] = said.err.splitlines()
    assert "can't be reached" in line
    assert "s3cr3t" not in line
    assert said.out == ""
    assert not (tmp_path / "run").exists()
