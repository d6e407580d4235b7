"""Channels that operations read: what is said not to be read may hold anything."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from loopwright.models.channels import channels, reads
from loopwright.models.reads import shape
from loopwright.models.trace import trace
from tests.models.functions import Calls


def read_by(module: nn.Module, live: list[int], size=(2, 4, 6, 6)) -> np.ndarray:
    """The input channels that the live output channels of a module are made of."""
    network = trace(module, torch.zeros(size))
    nodes = list(network.program.graph.nodes)
    found = {node: np.zeros(channels(node), bool) for node in nodes if shape(node)}
    (result,) = nodes[-1].args[0]
    found[result] = np.isin(np.arange(channels(result)), live)
    for node in reversed(nodes):
        if node.op == "call_function":
            for operand, flags in reads(node, found.get(node, np.zeros(channels(node), bool))):
                found[operand] = found.get(operand, False) | flags
    return found[next(node for node in nodes if node.name in network.program.graph_signature.user_inputs)]


def written_in_place(x: torch.Tensor) -> torch.Tensor:
    y = x.clone()
    y[:, :2] += x[:, 2:]
    return y


def joined_in_place(x: torch.Tensor) -> torch.Tensor:
    y = functional.relu(x)
    z = y * 2
    z += x.flip(1)
    return z


def changed_before_it_is_read_again(x: torch.Tensor) -> torch.Tensor:
    y = functional.relu(x)
    y += x.roll(1, 1)
    return torch.cat([y, x], 1)


BATCH_NORM = nn.BatchNorm2d(4).eval()
EXACT = [
    (functional.relu, [1], [1]),
    (lambda x: functional.relu(x, inplace=False) + 1, [1, 2], [1, 2]),
    (lambda x: functional.hardswish(x) * x, [3], [3]),
    (nn.PReLU(4), [1], [1]),
    (nn.ReLU6(inplace=True), [1], [1]),
    (nn.Hardswish(inplace=True), [1], [1]),
    (BATCH_NORM, [0, 2], [0, 2]),
    (nn.Dropout(), [2], [2]),
    (nn.Dropout2d(), [2], [2]),
    (nn.InstanceNorm2d(4), [2], [2]),
    (lambda x: functional.max_pool2d(x, 2), [0], [0]),
    (lambda x: functional.max_pool2d(x, 2, return_indices=True)[0], [0], [0]),
    (lambda x: functional.avg_pool2d(x, 3, 2, 1), [0], [0]),
    (lambda x: functional.adaptive_avg_pool2d(x, 1), [0, 3], [0, 3]),
    (lambda x: functional.interpolate(x, scale_factor=2), [3], [3]),
    (lambda x: functional.interpolate(x, scale_factor=2, mode="bilinear"), [3], [3]),
    (lambda x: functional.pad(x, (1, 1, 1, 1)), [3], [3]),
    (lambda x: x.mean((2, 3)), [1], [1]),
    (lambda x: x.mean((2, 3), keepdim=True), [1], [1]),
    (lambda x: x.transpose(2, 3), [1], [1]),
    (lambda x: x.permute(0, 1, 3, 2), [1], [1]),
    (lambda x: torch.cat([x, x * 2], 1), [1, 6], [1, 2]),
    (lambda x: torch.cat([x, x], 2), [1], [1]),
    (lambda x: x[:, 1:], [0], [1]),
    (lambda x: x[:, ::2], [1], [2]),
    (lambda x: x[:, -1:], [0], [3]),
    (lambda x: x[:, :, 1:], [1], [1]),
    (lambda x: x.chunk(2, 1)[1], [0], [2]),
    (lambda x: torch.split(x, [1, 3], 1)[1], [0, 2], [1, 3]),
    (lambda x: x.chunk(2, 2)[1], [3], [3]),
    (lambda x: x.flatten(1), [0, 1, 40], [0, 1]),
    (lambda x: x.flatten(2), [1], [1]),
    (lambda x: x.reshape(2, 2, 2, 6, 6), [1], [2, 3]),
    (lambda x: x * torch.sigmoid(x.mean((2, 3), keepdim=True)), [1], [1]),
    (joined_in_place, [1], [0, 1, 2, 3]),
]
WHOLE = [
    lambda x: torch.softmax(x, 1),
    lambda x: functional.pad(x, (0, 0, 0, 0, 1, 1)),
    lambda x: x.mean(1, keepdim=True),
    lambda x: x.flip(1),
    lambda x: x.permute(0, 2, 1, 3),
    lambda x: x.sum((1, 2)),
    lambda x: functional.layer_norm(x, (4, 6, 6)),
    lambda x: functional.group_norm(x, 2),
    nn.Conv2d(4, 2, 1),
    nn.Linear(6, 2),
    written_in_place,
]


def as_module(function) -> nn.Module:
    return function if isinstance(function, nn.Module) else Calls(function)


@pytest.mark.parametrize(("function", "live", "expected"), EXACT)
def test_channels_are_followed(function, live: list[int], expected: list[int]) -> None:
    assert np.flatnonzero(read_by(as_module(function), live)).tolist() == expected


@pytest.mark.parametrize("function", WHOLE)
def test_what_mixes_channels_reads_them_all(function) -> None:
    assert read_by(as_module(function), [0]).all()


@pytest.mark.parametrize("function", [case[0] for case in EXACT] + WHOLE + [changed_before_it_is_read_again])
@pytest.mark.parametrize("live", [[0], [1], [0, 1]])
def test_a_channel_that_is_not_read_may_hold_anything(function, live: list[int]) -> None:
    module = as_module(function).eval()
    x = torch.randn(2, 4, 6, 6)
    with torch.no_grad():
        before = module(x.clone())
        known = [channel for channel in live if channel < before.shape[1]]
        dead = torch.from_numpy(~read_by(module, known))
        x[:, dead] = torch.randn(2, int(dead.sum()), 6, 6) * 100
        assert torch.equal(before[:, known], module(x)[:, known])


def test_an_operand_that_is_added_in_place_to_a_shared_tensor_is_read_whole() -> None:
    def function(x: torch.Tensor) -> torch.Tensor:
        first, second = x[:, :2], x[:, 2:]
        y = functional.relu(first)
        y.add_(second)
        return y + functional.relu(first)

    assert read_by(Calls(function), [0]).tolist() == [True, False, True, False]

    def shared(x: torch.Tensor) -> torch.Tensor:
        y = functional.relu(x[:, :2])
        z = y.sum(1, keepdim=True)
        y.add_(x[:, 2:])
        return torch.cat([y[:, :1], z], 1)

    assert read_by(Calls(shared), [0]).all()
