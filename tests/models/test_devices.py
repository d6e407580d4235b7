from __future__ import annotations

import pytest
import torch

from loopwright.errors import ArgumentError
from loopwright.models.devices import require_device


@pytest.mark.parametrize(("gpus", "names"), [(0, ["cpu"]), (2, ["cpu", "cuda", "cuda:0", "cuda:1"])])
def test_devices_that_are_there_are_taken(monkeypatch: pytest.MonkeyPatch, gpus: int, names: list[str]):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    for name in names:
        require_device(name)


@pytest.mark.parametrize(
    ("gpus", "name", "message"),
    [
        (0, "cuda", "no device 'cuda': PyTorch finds no CUDA GPU here; take --device cpu"),
        (1, "cuda:1", "no device 'cuda:1' here; there are: cpu, cuda:0"),
        (0, "tpu", "no device 'tpu' here; there are: cpu"),
    ],
)
def test_others_are_refused_with_what_is_there(monkeypatch: pytest.MonkeyPatch, gpus: int, name: str, message: str):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    with pytest.raises(ArgumentError, match=message):
        require_device(name)
