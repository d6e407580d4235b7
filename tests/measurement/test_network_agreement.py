from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from loopwright.errors import CompileError
from loopwright.measurement.network_agreement import largest_difference, require_agreement, seeded_inputs
from loopwright.models.trace import trace


def test_the_difference_is_relative_to_the_largest_output_of_its_tensor():
    expected = [torch.tensor([4.0, -8.0]), torch.tensor([1.0])]
    assert largest_difference(expected, [np.float32([4, -7]), np.float32([1])]) == 1 / 8


@pytest.mark.parametrize("outputs", [np.zeros((1, 2), "float32"), np.zeros(2, "float64")], ids=["shape", "type"])
def test_another_shape_or_type_is_no_agreement(outputs):
    assert math.isinf(largest_difference([torch.zeros(2)], [outputs]))


def test_infinities_agree_and_a_value_that_is_none_does_not():
    expected = [torch.tensor([1.0, math.inf])]
    assert largest_difference(expected, [np.float32([1, math.inf])]) == 0
    assert math.isnan(largest_difference(expected, [np.float32([math.nan, math.inf])]))


def test_disagreement_is_refused():
    network = trace(nn.Conv2d(3, 4, 1), torch.zeros(1, 3, 4, 4))
    with pytest.raises(CompileError, match="differs from PyTorch by 1.0e\\+00 of its largest output"):
        require_agreement(network, network.module, lambda x: 2 * network.module(x).detach())


def test_integers_are_taken_from_the_example():
    network = trace(nn.Embedding(5, 3), torch.tensor([[4, 1]]))
    assert seeded_inputs(network)[0].tolist() == [[4, 1]]
