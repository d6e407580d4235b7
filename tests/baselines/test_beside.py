"""Folders that are compared with the network they were made from."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from loopwright.baselines.beside import Beside
from loopwright.errors import ArgumentError
from loopwright.search.deliver import NetworkSpec, save


def test_what_is_no_such_network_is_refused(tmp_path: Path) -> None:
    save(tmp_path, NetworkSpec("resnet34", (1, 3, 32, 32), {}), nn.Identity())
    assert Beside(str(tmp_path), (1, 3, 32, 32)).name == str(tmp_path)
    with pytest.raises(ArgumentError, match="has the input 1,3,32,32, not 1,3,64,64"):
        Beside(str(tmp_path), (1, 3, 64, 64))
    with pytest.raises(ArgumentError, match="there is no folder nowhere to compare with; name one that optimize wrote"):
        Beside("nowhere", (1, 3, 32, 32))
