"""Whole networks for a GPU: the kernels that are generated give what PyTorch gives, and become one CUDA graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from tvm import relax

from loopwright.lowering.network import LoweredNetwork, lower_network
from loopwright.models.seeding import seeded
from loopwright.models.trace import trace
from loopwright.targets.cuda import cuda
from tests.legality.networks import SmallNet
from tests.lowering.cuda.on_host import on_host

TARGET = cuda("sm_90")


class Dense(nn.Module):
    """A block that concatenates, with a batch norm before each convolution, and a pooling after it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, padding=1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for channels in (32, 48))
        self.layers = nn.ModuleList(nn.Conv2d(channels, 16, 3, padding=1, bias=False) for channels in (32, 48))
        self.pool, self.linear = nn.AvgPool2d(2), nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for norm, layer in zip(self.norms, self.layers, strict=True):
            x = torch.cat([x, layer(torch.relu(norm(x)))], 1)
        return self.linear(self.pool(x).mean((2, 3)))


def lowered(module: nn.Module, shape: Sequence[int]) -> LoweredNetwork:
    return lower_network(trace(module, torch.zeros(*shape)), module, TARGET)


class OnHost:
    """The network's kernels one after the other, and what it does between them."""

    def __init__(self, network: LoweredNetwork, folder: Path):
        self._module, self._folder = network.module, folder
        self._kernels: dict[str, Callable[..., None]] = {}
        self._values: dict[Any, Any] = {}

    def __call__(self, x: np.ndarray) -> np.ndarray:
        main = self._module["main"]
        self._values = {main.params[0]: x}
        for block in main.body.blocks:
            for binding in block.bindings:
                self._values[binding.var] = self._value(binding.value)
        return self._value(main.body.body)

    def _value(self, expression: Any) -> Any:
        if isinstance(expression, relax.Call):
            return self._called(expression)
        if expression in self._values:
            return self._values[expression]
        return expression.value if isinstance(expression.value, int) else expression.value.numpy()

    def _called(self, call: relax.Call) -> np.ndarray:
        if call.op.name == "relax.reshape":
            return self._value(call.args[0]).reshape([int(size) for size in call.ty.shape])
        if call.op.name == "relax.permute_dims":
            return self._value(call.args[0]).transpose([int(axis) for axis in call.attrs.axes])
        assert call.op.name in ("relax.call_tir", "relax.call_tir_inplace"), call.op.name
        arguments = [self._value(argument) for argument in call.args[1].fields]
        if call.op.name == "relax.call_tir":
            arguments.append(np.full([int(size) for size in call.ty.shape], np.nan, np.float32))
        self._kernel(call.args[0])(*arguments)
        return arguments[-1]

    def _kernel(self, symbol: Any) -> Callable[..., None]:
        if symbol.name_hint not in self._kernels:
            own = self._folder / symbol.name_hint
            own.mkdir()
            self._kernels[symbol.name_hint] = on_host(self._module[symbol], TARGET, own)
        return self._kernels[symbol.name_hint]


@pytest.mark.parametrize(("make", "size"), [(SmallNet, 16), (Dense, 8)])
def test_a_network_equals_pytorch(make: type[nn.Module], size: int, tmp_path: Path):
    with seeded(0):
        module = make()
        for norm in (own for own in module.modules() if isinstance(own, nn.BatchNorm2d)):
            norm.running_mean.uniform_(-0.5, 0.5)
            norm.running_var.uniform_(0.5, 1.5)
        x = torch.randn(1, 3, size, size)
    module.eval()
    with torch.no_grad():
        expected = module(x).numpy()
    found = OnHost(lowered(module, x.shape), tmp_path)(x.numpy())
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_what_comes_before_a_convolution_is_part_of_its_kernel():
    network = lowered(Dense().eval(), (1, 3, 8, 8))
    names = [symbol.name_hint.rpartition("_")[0] for symbol in network.module.get_global_vars()]
    assert sorted(name for name in names if name) == ["convolution"] * 3 + ["linear"] + ["pooling"] * 2


def test_a_network_becomes_one_cuda_graph():
    with seeded(0):
        network = lowered(SmallNet().eval(), (1, 3, 16, 16))
    built = network.build()
    assert "cuda_graph.run_or_capture" in built.executable.stats()
    assert built.weight_bytes > sum(parameter.nbytes for parameter in SmallNet().parameters()) // 2
