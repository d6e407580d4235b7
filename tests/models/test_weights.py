"""Trained weights in files of several kinds, and what is refused."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from loopwright.errors import ArgumentError
from loopwright.models.weights import load_state, read_state


def network(width: int = 8) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.Flatten(), nn.Linear(width, 4))


def wrapped(state: dict[str, torch.Tensor], before: str) -> dict[str, torch.Tensor]:
    return {f"{before}{name}": tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
    "kept",
    [
        dict,
        lambda state: {"state_dict": state, "epoch": 3, "best": 93.5},
        lambda state: {"optimizer": {"lr": 0.1}, "model": wrapped(state, "module.")},
        lambda state: wrapped(state, "module._orig_mod."),
        lambda state: {"model": {"state_dict": state}},
    ],
)
def test_states_are_found_in_what_programs_save(tmp_path: Path, kept: Any) -> None:
    trained = network()
    torch.save(kept(trained.state_dict()), tmp_path / "net.pth")
    loaded = network()
    load_state(loaded, read_state(tmp_path / "net.pth"), "net.pth")
    assert all(torch.equal(own, loaded.state_dict()[name]) for name, own in trained.state_dict().items())


def test_safetensors_and_states_without_counters(tmp_path: Path) -> None:
    trained = network()
    state = {name: own for name, own in trained.state_dict().items() if "num_batches" not in name}
    save_file(state, tmp_path / "net.safetensors")
    loaded = network()
    load_state(loaded, read_state(tmp_path / "net.safetensors"), "net")
    assert torch.equal(loaded[0].weight, trained[0].weight)  # type: ignore[index]


def test_files_that_hold_no_weights_are_refused_in_one_line(tmp_path: Path) -> None:
    torch.save(network(), tmp_path / "module.pt")
    (tmp_path / "text.pt").write_text("no weights")
    (tmp_path / "text.safetensors").write_text("no weights")
    (tmp_path / "empty.pt").write_bytes(b"")
    torch.save({"epoch": 3}, tmp_path / "epoch.pt")
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    (tmp_path / "other.pt").write_bytes(pickle.dumps({"path": Path("x")}))
    torch.save(network().state_dict(), tmp_path / "whole.pt")
    (tmp_path / "half.pt").write_bytes((tmp_path / "whole.pt").read_bytes()[:-300])
    for name, message in (
        ("module.pt", "holds more than tensors; save the network's state_dict()"),
        ("text.pt", ""),
        ("text.safetensors", "is damaged, or no file of weights"),
        ("empty.pt", "is damaged, or no file of weights"),
        ("epoch.pt", "holds no state of a network"),
        ("tensor.pt", "holds no state of a network"),
        ("other.pt", ""),
        ("half.pt", "is damaged, or no file of weights"),
        ("missing.pt", "there is no file"),
    ):
        with pytest.raises(ArgumentError) as refused:
            read_state(tmp_path / name)
        said = str(refused.value)
        assert name in said
        assert message in said
        assert "\n" not in said


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("1.weight"), "trained.pt does not fit the network: it has no '1.weight' 8"),
        (
            lambda state: state.update({"0.weight": torch.zeros(8, 3, 5, 5)}),
            "its '0.weight' is 8x3x5x5, the network's 8x3x3x3",
        ),
        (lambda state: state.update({"4.weight": torch.zeros(2, 3)}), "the network has no '4.weight' 2x3"),
    ],
)
def test_the_first_difference_is_named_and_nothing_is_loaded(change: Any, message: str) -> None:
    module, state = network(), dict(network().state_dict())
    before = {name: own.clone() for name, own in module.state_dict().items()}
    change(state)
    with pytest.raises(ArgumentError, match=message):
        load_state(module, state, "trained.pt")
    assert all(torch.equal(before[name], own) for name, own in module.state_dict().items())
