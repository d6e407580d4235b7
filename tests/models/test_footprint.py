from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from loopwright.models.footprint import Footprint, adaptive, window


def relation(footprint: Footprint) -> set[tuple[int, int]]:
    return set(zip(*(part.tolist() for part in footprint.pairs()), strict=True))


def read_by(function, size) -> set[tuple[int, int]]:
    """The pairs (output position, input position) with a gradient other than zero."""
    jacobian = torch.autograd.functional.jacobian(function, torch.rand(1, 1, *size))
    matrix = jacobian.reshape(-1, size[0] * size[1])
    return {(int(o), int(i)) for o, i in matrix.nonzero().tolist()}


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"),
    [((3, 3), (1, 1), (1, 1), (1, 1)), ((2, 3), (2, 1), (0, 2), (1, 2)), ((1, 1), (2, 3), (0, 0), (1, 1))],
)
def test_a_window_reads_what_a_convolution_reads(kernel, stride, padding, dilation):
    weight = torch.ones(1, 1, *kernel)
    output = functional.conv2d(torch.zeros(1, 1, 7, 6), weight, None, stride, padding, dilation)
    footprint = window((7, 6), tuple(output.shape[2:]), kernel, stride, padding, dilation)
    expected = read_by(lambda x: functional.conv2d(x, weight, None, stride, padding, dilation), (7, 6))
    assert relation(footprint) == expected


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (7, 5), (4, 6)])
def test_adaptive_pooling_reads_what_it_averages(size):
    assert relation(adaptive((7, 6), size)) == read_by(lambda x: functional.adaptive_avg_pool2d(x, size), (7, 6))


def test_pairs_survive_a_round_trip_and_may_repeat():
    outputs, inputs = np.array([3, 0, 3, 0, 1]), np.array([5, 1, 2, 1, 5])
    footprint = Footprint.from_pairs((2, 3), (2, 2), outputs, inputs)
    assert relation(footprint) == {(0, 1), (1, 5), (3, 2), (3, 5)}


def test_an_operator_that_reads_nothing():
    footprint = Footprint.from_pairs((2, 2), (1, 2), np.array([], int), np.array([], int))
    assert relation(footprint) == set()
    assert not footprint.propagate(np.ones((4, 1), np.uint64)).any()


def test_propagation_unites_what_is_read():
    footprint = Footprint.from_pairs((1, 3), (1, 2), np.array([0, 0, 1]), np.array([0, 2, 1]))
    fields = np.array([[1], [2], [4]], np.uint64)
    assert footprint.propagate(fields).tolist() == [[5], [2]]
