"""Optimizing a network that was trained: what is found is what would have been, and begins with the trained weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import cosine_similarity

import loopwright
from loopwright.cli.main import run
from loopwright.errors import ArgumentError
from loopwright.lowering.torch_module import OperatorModule
from loopwright.measurement.timer import Call, Clock, Measurement, Protocol
from loopwright.search import run as search_run

SHAPE = (1, 3, 16, 16)
FEW: dict[str, Any] = {"configurations": 16, "operators": 10, "images": 32, "tolerance": 100}


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, padding=1)
        self.norm = nn.BatchNorm2d(32)
        self.same = nn.Conv2d(32, 64, 3, padding=1)
        self.classes = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = self.norm(torch.relu(self.stem(x)))
        return self.classes(torch.relu(self.same(inner)).mean((2, 3)))


def small(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return Small()


def the_last_is_fastest(networks: Sequence[Call], protocol: Protocol, _clock: Clock) -> list[Measurement]:
    """In place of `measure`, so that two runs choose the same."""
    return [Measurement((float(len(networks) - number),), protocol) for number in range(len(networks))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a run without weights, one with weights, and the weights."""
    made = tmp_path_factory.mktemp("weights")
    torch.save(small(seed=9).state_dict(), made / "trained.pt")
    given = {"store": made / "store.sqlite", **FEW}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(search_run, "measure", the_last_is_fastest)
        loopwright.optimize(small(), SHAPE, out=made / "plain", **given)
        loopwright.optimize(small(), SHAPE, out=made / "trained", weights=made / "trained.pt", **given)
    return made


def test_what_is_found_does_not_depend_on_the_weights(folder: Path) -> None:
    plain, trained = ((folder / name / "network.json").read_text() for name in ("plain", "trained"))
    assert plain == trained
    assert '"sequence"' in plain


def test_the_result_has_the_trained_weights_that_it_still_reads(folder: Path) -> None:
    module, trained = loopwright.load(folder / "trained", small()), small(seed=9)
    assert torch.equal(module.get_parameter("classes.weight"), trained.get_parameter("classes.weight"))
    assert not torch.equal(
        loopwright.load(folder / "plain", small()).get_parameter("classes.weight"),
        module.get_parameter("classes.weight"),
    )
    layers = {path: own for path, own in trained.named_modules() if isinstance(own, nn.Conv2d)}
    operators = {path: own for path in layers if isinstance(own := module.get_submodule(path), OperatorModule)}
    fitted = set[str]()
    for path, operator in operators.items():
        values = trained.get_parameter(f"{path}.weight").detach().reshape(-1)
        for name, elements in operator.origins().items():
            own = operator.get_parameter(name).detach()
            wanted = values[torch.from_numpy(elements) % values.numel()]
            if not torch.equal(own, wanted):
                fitted.add(path)
            assert cosine_similarity(own.flatten(), wanted.flatten(), 0) > 0.3
    assert fitted, "to what the layers see; one that only lost what nobody reads has nothing to be fitted to"
    assert module.get_buffer("norm.num_batches_tracked") == 1
    summary = json.loads((folder / "trained" / "summary.json").read_text())
    assert any(f"weights inherited from {folder / 'trained.pt'}" in note for note in summary["notes"])


def test_another_networks_weights_are_refused_before_there_is_a_folder(capsys, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("from tests.end_to_end.test_weights import Small\n")
    torch.save({"stem.weight": torch.zeros(32, 3, 5, 5)}, tmp_path / "other.pt")
    model, out = f"{tmp_path / 'net.py'}:Small", tmp_path / "out"
    given = ["optimize", model, "--input", "1,3,16,16", "--out", str(out)]
    for weights, message in (
        (tmp_path / "other.pt", "its 'stem.weight' is 32x3x5x5, the network's 32x3x3x3"),
        (tmp_path / "none.pt", "there is no file"),
        (tmp_path, "holds no network.json"),
    ):
        assert run([*given, "--weights", str(weights)]) == 2
        assert message in capsys.readouterr().err
        assert not out.exists()


def test_a_run_does_not_go_on_with_other_weights(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights, out = tmp_path / "trained.pt", tmp_path / "out"
    shutil.copy(folder / "trained.pt", weights)

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    given = {"store": folder / "store.sqlite", **FEW}
    with monkeypatch.context() as patched:
        patched.setattr(search_run, "measure", interrupt)
        with pytest.raises(KeyboardInterrupt):
            loopwright.optimize(small(), SHAPE, out=out, weights=weights, **given)
    torch.save(small(seed=10).state_dict(), weights)
    with pytest.raises(ArgumentError, match="began with other weights"):
        loopwright.resume(out, small())
