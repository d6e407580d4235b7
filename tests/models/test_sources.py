from __future__ import annotations

import subprocess
import sys

import torch

from loopwright.models.sources import registered


def test_the_networks_of_the_paper_are_registered_under_their_names():
    models = registered()
    assert {"resnet18", "resnet34", "resnext29_2x64d", "densenet161"} <= set(models)
    assert all(name == source.name and source.description for name, source in models.items())


def test_naming_sources_loads_no_framework():
    code = "import sys, loopwright.models.sources; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_build_depends_on_the_seed_alone_and_leaves_the_random_state():
    source = registered()["resnet18"]
    state = torch.get_rng_state()
    first, second, other = source.build(3), source.build(3), source.build(4)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.conv1.weight, other.conv1.weight)
