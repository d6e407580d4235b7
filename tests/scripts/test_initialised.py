"""Folders of kept networks: loadable, with weights that are drawn."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import loopwright
from scripts import initialised

KEPT = Path("docs/data/fig4/networks/resnet34-t2")


def test_a_kept_network_can_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["initialised", str(KEPT), str(tmp_path / "made")])
    initialised.main()
    module = loopwright.load(tmp_path / "made").eval()
    assert module(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    assert (tmp_path / "made" / "network.json").read_text() == (KEPT / "network.json").read_text()
