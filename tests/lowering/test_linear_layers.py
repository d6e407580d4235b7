"""Linear layers of compiled networks: one kernel each, with bias, batch norm, residual and ReLU."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from loopwright.lowering.network import compile_network
from loopwright.lowering.network_kernels import NetworkKernels
from loopwright.models.trace import trace
from loopwright.targets.cpu import cpu


class Head(nn.Module):
    """A linear layer, and what ``follow`` makes of its result."""

    def __init__(self, ci: int, co: int, bias: bool, follow):
        super().__init__()
        self.inner, self.norm, self.last = nn.Linear(ci, co, bias), nn.BatchNorm1d(co), nn.Linear(co, 3)
        self.follow = follow
        nn.init.uniform_(self.norm.weight, -2, 2)
        nn.init.uniform_(self.norm.running_mean, -1, 1)

    def forward(self, x):
        return self.follow(self, x, self.inner(x))


FOLLOW = {
    "alone": lambda m, x, y: y,
    "ReLU": lambda m, x, y: functional.relu(y),
    "batch norm": lambda m, x, y: functional.relu(m.norm(y)),
    "a second one": lambda m, x, y: m.last(functional.relu(y)),
    "residual": lambda m, x, y: functional.relu(m.inner(x[:, : x.shape[1]]) * 0.5 + y),
    "used twice": lambda m, x, y: m.last(y) + y.mean(1, keepdim=True),
    "softmax": lambda m, x, y: functional.softmax(y, 1),
}


def assert_agrees(module: nn.Module, x: torch.Tensor) -> None:
    with torch.no_grad():
        expected = module(x).numpy()
    found = compile_network(trace(module, x), module, cpu(2))(x.numpy())
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("follow", FOLLOW.values(), ids=FOLLOW)
def test_what_follows_a_linear_layer(follow):
    torch.manual_seed(0)
    assert_agrees(Head(48, 20, True, follow).eval(), torch.randn(3, 48))


@pytest.mark.parametrize(("ci", "co"), [(512, 1000), (7, 13), (1, 1), (33, 10), (130, 64)])
@pytest.mark.parametrize("rows", [1, 2, 70])
@pytest.mark.parametrize("bias", [True, False])
def test_linear_layers_of_any_size(ci, co, rows, bias):
    torch.manual_seed(0)
    assert_agrees(Head(ci, co, bias, FOLLOW["ReLU"]).eval(), torch.randn(rows, ci))


def test_linear_layer_over_tokens():
    torch.manual_seed(0)
    assert_agrees(Head(24, 40, True, FOLLOW["ReLU"]).eval(), torch.randn(2, 9, 24))


def test_linear_layer_takes_its_own_kernel(monkeypatch):
    bound = []
    bind = NetworkKernels.bind_linear
    monkeypatch.setattr(NetworkKernels, "bind_linear", lambda *given: bound.append(bind(*given)) or bound[-1])
    module = Head(48, 20, True, FOLLOW["batch norm"]).eval()
    assert_agrees(module, torch.randn(1, 48))
    assert [len(own.constants) for own in bound] == [2], "weights with batch norm's scale, and the shift"
