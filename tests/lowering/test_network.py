from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from loopwright.ir.contraction import OperatorForm, operator_form
from loopwright.lowering.kernel import CpuSchedule
from loopwright.lowering.network import CompiledNetwork, compile_network
from loopwright.lowering.transformed import transformed
from loopwright.models.network import Network
from loopwright.models.sources import registered
from loopwright.models.trace import trace
from loopwright.targets.cpu import cpu
from loopwright.transformations import TransformationSequence

INPUT_SHAPE = (2, 3, 10, 10)


def conv_bn(ci: int, co: int, kernel_size: int = 3, **options: object) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(ci, co, kernel_size, bias=False, **options), nn.BatchNorm2d(co))


class Residual(nn.Module):
    """Identity and projection shortcuts, a plain pool and a classifier."""

    def __init__(self):
        super().__init__()
        self.stem, self.inner = conv_bn(3, 16, padding=1), conv_bn(16, 16, padding=1)
        self.down, self.shortcut = conv_bn(16, 32, stride=2, padding=1), conv_bn(16, 32, 1, stride=2)
        self.pool, self.dropout, self.classifier = nn.MaxPool2d(2), nn.Dropout(), nn.Linear(32, 10)

    def forward(self, x):
        x = functional.relu(self.stem(x))
        x = functional.relu(self.inner(x) + x)
        x = functional.relu(self.shortcut(x) + self.down(x))
        return self.classifier(self.dropout(self.pool(x).mean((2, 3))))


class DenselyConnected(nn.Module):
    """Batch norm and ReLU before the convolution, concatenations that keep and that break the blocks of channels."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm, self.grow = (
            nn.Conv2d(3, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.Conv2d(16, 16, 3, padding=1),
        )
        self.odd, self.last = nn.Conv2d(32, 5, 1), nn.Conv2d(37, 6, 1)

    def forward(self, x):
        x = self.stem(x)
        x = torch.cat([x, self.grow(functional.relu(self.norm(x)))], 1)
        x = torch.cat([self.odd(x), x], 1)
        return functional.adaptive_avg_pool2d(functional.avg_pool2d(self.last(x), 3, 2, 1), 1).flatten(1)


class Odd(nn.Module):
    """Odd channel counts, groups, dilation, uneven padding, a gate, a slice, and calls that no kernel covers."""

    def __init__(self):
        super().__init__()
        self.own = nn.Parameter(torch.randn(6, 9, 1, 1))
        self.first, self.grouped = nn.Conv2d(3, 9, 3, stride=2), nn.Conv2d(9, 9, 3, padding=2, dilation=2, groups=3)
        self.depthwise, self.even = nn.Conv2d(9, 9, 3, padding=1, groups=9), nn.Conv2d(6, 7, 2, padding="same")
        self.gate, self.up = nn.Conv2d(9, 9, 1), nn.ConvTranspose2d(7, 4, 2, stride=2)
        self.weighted = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 1))

    def forward(self, x):
        x = functional.silu(self.grouped(functional.hardtanh(self.first(x), 0, 6)))
        x = self.depthwise(x) * torch.sigmoid(self.gate(functional.adaptive_avg_pool2d(x, 1)))
        x = self.even(functional.conv2d(2 * x, self.own))[:, :, 1:, :]
        return self.weighted(self.up(x)[:, 1:]).permute(0, 2, 3, 1)


def settled(factory: type[nn.Module], seed: int = 0) -> nn.Module:
    """A module in evaluation mode whose batch norms are no identities."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = factory()
        module(torch.randn(INPUT_SHAPE))
        for tensor in (*module.parameters(), *(b for b in module.buffers() if b.is_floating_point())):
            tensor.data.mul_(1 + 0.2 * torch.rand_like(tensor))
    return module.eval()


def images(shape: tuple[int, ...] = INPUT_SHAPE) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def assert_agrees(compiled: CompiledNetwork, module: nn.Module, x: torch.Tensor) -> None:
    with torch.no_grad():
        expected = module(x).numpy()
    assert np.abs(compiled(x.numpy()) - expected).max() <= 1e-5 * np.abs(expected).max()


def traced(module: nn.Module, shape: tuple[int, ...] = INPUT_SHAPE) -> Network:
    return trace(module, torch.zeros(shape))


@pytest.mark.parametrize("factory", [Residual, DenselyConnected, Odd])
def test_compiled_network_equals_pytorch(factory):
    module = settled(factory)
    assert_agrees(compile_network(traced(module), module, cpu()), module, images())


def test_nothing_of_a_residual_network_is_left_to_tvm():
    module = settled(Residual)
    assert [
        note for note in compile_network(traced(module), module, cpu()).notes if "pool" in note or "add" in note
    ] == []


def test_what_is_left_to_tvm_is_noted():
    module = settled(Odd)
    notes = compile_network(traced(module), module, cpu()).notes
    assert any("conv2d_transpose of output shape" in note for note in notes)


def test_weights_are_those_of_the_given_module_not_of_the_trace():
    network = traced(settled(Residual, seed=0))
    trained = settled(Residual, seed=5)
    assert_agrees(compile_network(network, trained, cpu()), trained, images())


@pytest.mark.parametrize(
    "sequence",
    [
        "group(co, ci, 2)",
        "bottleneck(co, 2)",
        "bottleneck(ci, 2)",
        "reorder(oh, ow, co, ci, kh, kw) -> bottleneck(oh, 2) -> reorder(ow, oh, co, ci, kh, kw) -> bottleneck(ow, 2)",
        "split(oh, 3) -> untie(oh_outer)",
        "bottleneck(co, 2, complete=project)",
        "group(co, ci, 4, complete=project)",
        "partition(ci, 4) -> on s0: drop()",
        "group(co, ci, 16)",
        "partition(co, 4) -> on s1: group(co, ci, 2)",
    ],
)
def test_transformed_network_equals_its_pytorch_module(sequence):
    network = traced(settled(Residual), (1, 3, 12, 12))
    forms = {name: form_of(network, name, sequence) for name in ("inner.0", "down.0")}
    module = transformed(network, forms)
    assert_agrees(compile_network(network, module, cpu()), module, images((1, 3, 12, 12)))


def form_of(network: Network, layer: str, sequence: str):
    operator = network.transformable_layer(layer).operator
    return operator_form(TransformationSequence.parse(sequence).apply(operator.nest()))


def test_every_operator_is_asked_for_its_schedule():
    module, asked = settled(Residual), []

    def choose(form: OperatorForm, n: int) -> CpuSchedule:
        asked.append((form.key, n))
        return CpuSchedule(4, 1, 1, 2)

    assert_agrees(compile_network(traced(module), module, cpu(), choose), module, images())
    assert {n for _, n in asked} == {len(images())}
    assert len(asked) > 1


def test_runner_gives_the_same_as_the_call():
    module = settled(Residual)
    compiled = compile_network(traced(module), module, cpu())
    x = images().numpy()
    assert np.array_equal(compiled.runner(x)().numpy(), compiled(x))


def test_exported_library_is_one_file(tmp_path):
    module = settled(Residual)
    compile_network(traced(module), module, cpu()).export_library(tmp_path / "network.so")
    assert (tmp_path / "network.so").stat().st_size > 4 * sum(p.numel() for p in module.parameters())


def test_resnet34_equals_pytorch_with_nothing_left_to_tvm():
    source = registered()["resnet34"]
    module = source.build().eval()
    compiled = compile_network(traced(module, source.input_shape), module, cpu())
    assert compiled.notes == ()
    assert_agrees(compiled, module, images(source.input_shape))


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 17])
def test_first_convolutions_of_any_number_of_channels(channels):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.wide, self.deep = (
                nn.Conv2d(channels, 8, 5, 2, 2),
                nn.Conv2d(channels, channels, 3, 2, 1, groups=channels),
            )

        def forward(self, x):
            return torch.cat([self.wide(x), self.deep(x), functional.max_pool2d(x, 2)], 1)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = Twice().eval()
    shape = (2, channels, 10, 12)
    assert_agrees(compile_network(traced(module, shape), module, cpu()), module, images(shape))
