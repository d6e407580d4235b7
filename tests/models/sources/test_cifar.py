"""All CIFAR networks: sizes as published, shapes, and the paper's structure."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import nn

from loopwright.models.sources import registered

PARAMETERS = {"resnet18": 11_173_962, "resnet34": 21_282_122, "resnext29_2x64d": 9_128_778, "densenet161": 26_482_378}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_and_output(name):
    source = registered()[name]
    with torch.device("meta"):
        network = source.factory().eval()
        assert network(torch.zeros(source.input_shape)).shape == (1, 10)
    assert sum(parameter.numel() for parameter in network.parameters()) == PARAMETERS[name]


def test_resnet34_has_a_3x3_stem_32_more_3x3_and_three_projections():
    with torch.device("meta"):
        network = registered()["resnet34"].factory()
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert convolutions[0].kernel_size == (3, 3)
    assert convolutions[0].stride == (1, 1)
    assert Counter(convolution.kernel_size for convolution in convolutions) == {(3, 3): 33, (1, 1): 3}
