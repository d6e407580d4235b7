from __future__ import annotations

import pytest
import torch

from loopwright.legality.proxies.macs import Macs
from loopwright.models.images import load_minibatch
from loopwright.models.seeding import seeded
from loopwright.models.sources import registered
from loopwright.models.trace import trace
from tests.legality.networks import SmallNet, forms_of, replaced


@pytest.mark.parametrize(
    "sequence", ["group(co, ci, 2)", "bottleneck(ci, 2)", "partition(co, 4) -> on s1: group(co, ci, 2)"]
)
def test_they_are_those_of_the_transformed_nests(sequence: str):
    with seeded(0):
        module = SmallNet()
    network = trace(module, torch.zeros(1, 3, 16, 16))
    forms = forms_of(network, sequence)
    expected = network.macs + sum(form.macs - network.layer(name).macs for name, form in forms.items())
    assert Macs().score(replaced(module, forms), load_minibatch(None, 2, 0, (1, 3, 16, 16))) == expected


def test_they_are_those_of_the_trace():
    module = registered()["resnet18"].build()
    traced = trace(module, torch.zeros(1, 3, 32, 32))
    assert Macs().score(module, load_minibatch(None, 2, 0, (1, 3, 32, 32))) == traced.macs
