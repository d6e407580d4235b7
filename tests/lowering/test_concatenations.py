"""Concatenations in place."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import tvm
from torch import nn
from torch.nn import functional
from tvm import relax
from tvm.relax.backend.cpu_generic.pipeline import dataflow_lower_passes

from loopwright.ir.contraction import operator_form
from loopwright.lowering.concatenations import Concatenations
from loopwright.lowering.constants import operation_name
from loopwright.lowering.network import compile_network
from loopwright.lowering.network_kernels import NetworkKernels
from loopwright.lowering.relax_import import import_network
from loopwright.lowering.rewriting import Rewriting
from loopwright.lowering.transformed import transformed
from loopwright.models.trace import trace
from loopwright.targets.cpu import cpu
from loopwright.transformations import TransformationSequence


def densely(first: int, growth: int, follow):
    """A network that concatenates its input's features with new ones, and what ``follow`` makes of the result."""

    class Dense(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.new = nn.Conv2d(3, first, 3, padding=1), nn.Conv2d(first, growth, 1)
            self.norm, self.last = nn.BatchNorm2d(first + growth), nn.Conv2d(first + growth, 8, 1)

        def forward(self, images):
            x = self.stem(images)
            return follow(self, x, self.new(x))

    torch.manual_seed(0)
    module = Dense()
    module(torch.randn(2, 3, 8, 8))
    nn.init.uniform_(module.norm.weight, 0.5, 2)
    return module.eval()


def nested(_m, _x, new):
    y = new
    for _ in range(12):
        y = torch.cat([functional.relu(new), y], 1)
    return functional.relu(y)


def reused(m, x, new):
    both = torch.cat([new, x], 1)
    return m.last(both), functional.max_pool2d(both, 2), functional.relu(m.norm(both))


FOLLOW = {
    "pre-activation": lambda m, x, new: m.last(functional.relu(m.norm(torch.cat([new, x], 1)))),
    "old first": lambda m, x, new: m.last(functional.relu(m.norm(torch.cat([x, new], 1)))),
    "concatenation twice": lambda m, x, new: functional.relu(torch.cat([torch.cat([new, x], 1), x], 1)),
    "nested and used": lambda m, x, new: m.last(torch.cat([x, new], 1)).mean((2, 3)),
    "nested deeply": nested,
    "used three times": reused,
    "added": lambda m, x, new: functional.relu(torch.cat([x, new], 1) + torch.cat([new, x], 1)),
    "added to itself": lambda m, x, new: m.norm(torch.cat([x, x, new], 1)[:, x.shape[1] :]) + 1,
    "after pooling": lambda m, x, new: functional.relu(m.norm(functional.avg_pool2d(torch.cat([x, new], 1), 2))),
    "with the images": lambda m, x, new: functional.relu(torch.cat([x, new, x.sigmoid()], 1)).flatten(1),
    "part of two": lambda m, x, new: (
        functional.relu(torch.cat([x, new], 1)) * torch.cat([new, x], 1),
        torch.cat([new.sigmoid(), torch.cat([x, new], 1), x], 1),
    ),
    "part pooled": lambda m, x, new: (functional.max_pool2d(new, 2), m.last(torch.cat([new, x], 1))),
    "part added": lambda m, x, new: (
        m.last(torch.cat([functional.relu(m.new(x) + new), x], 1)) + torch.cat([new], 1)[:, :1]
    ),
    "alone": lambda m, x, new: functional.relu(torch.cat([torch.cat([new], 1), x], 1)),
    "as it is": lambda m, x, new: (torch.cat([x.mean((2, 3), keepdim=True)] * 2, 1), torch.cat([x, new, x + 1], 1)),
    "read before and after": lambda m, x, new: (
        m.last(torch.cat([functional.relu(m.new(x)), x], 1))
        + m.last(torch.cat([functional.relu(m.norm(torch.cat([new, x], 1)))[:, : new.shape[1]], x], 1))
    ),
    "other axes": lambda m, x, new: functional.relu(torch.cat([torch.cat([x, x], 2), torch.cat([x, x], -2)], 3)),
}


ODD = [(24, 12), (5, 16)]
"""Channels, before and new, that don't fill blocks."""
CASES = [
    pytest.param(follow, *channels, id=f"{name} {channels}")
    for number, (name, follow) in enumerate(FOLLOW.items())
    for channels in ((32, 16), ODD[number % 2])
]


@pytest.mark.parametrize(("follow", "first", "growth"), CASES)
def test_networks_of_concatenations_equal_pytorch(follow, first, growth):
    module = densely(first, growth, follow)
    x = torch.randn(1, 3, 8, 8)
    results = compile_network(trace(module, x), module, cpu(2))(x.numpy())
    with torch.no_grad():
        expected = module(x)
    pairs = zip(results, expected, strict=True) if isinstance(expected, tuple) else [(results, expected)]
    for result, own in pairs:
        np.testing.assert_allclose(result, own.numpy(), rtol=1e-4, atol=1e-4)


class Joins(nn.Module):
    """What ``join`` makes of four images of 1, 2, 3 and 4 channels."""

    def __init__(self, join):
        super().__init__()
        self.join = join

    def forward(self, images):
        return self.join(*(images[:, :k].exp() for k in range(1, 5)))


def nested_ways(a, b, c, d):
    suffix, prefix = torch.cat([b, c], 1), torch.cat([a, b], 1)
    return suffix, prefix, torch.cat([torch.cat([a, suffix], 1), d], 1)


def in_another_order(a, b, c, d):
    return torch.cat([a, b, c], 1), torch.cat([b, a], 1), torch.cat([torch.cat([b, a], 1), c, d, c], 1)


@pytest.mark.parametrize(
    ("join", "expected"),
    [
        (lambda a, b, c, d: torch.cat([c, a], 1), [(4, 0, 4)]),
        (nested_ways, [(10, 1, 5), (10, 0, 3), (10, 0, 6), (10, 0, 10)]),
        (in_another_order, [(6, 0, 6), (13, 0, 3), (13, 0, 3), (13, 0, 13)]),
        (lambda a, b, c, d: torch.cat([a.flatten(2), b.flatten(2)], 1), []),
        (lambda a, b, c, d: torch.cat([a, a], 2), []),
    ],
)
def test_smaller_concatenations_are_channels_of_the_larger(join, expected):
    module = Joins(join)
    bindings = import_network(trace(module, torch.zeros(1, 4, 5, 5)), module).bindings
    joined = Concatenations(bindings).joined
    places = [joined[binding.var] for binding in bindings if binding.var in joined]
    assert [(place.within.whole, place.first, place.channels) for place in places] == expected


def operations(module: nn.Module, x: torch.Tensor) -> list[str]:
    """What the rewritten network calls, in order: names of kernels without their numbers, or of operations."""
    blocks = rewritten(module, x)["main"].body.blocks
    return [_called(binding.value) for block in blocks for binding in block.bindings]


def rewritten(module: nn.Module, x: torch.Tensor) -> tvm.IRModule:
    network = trace(module, x)
    return Rewriting(import_network(network, module), NetworkKernels(network, module, cpu(2), {})).module


def _called(call: relax.Expr) -> str:
    name = operation_name(call).removeprefix("relax.")
    return f"{name} {call.args[0].name_hint.rpartition('_')[0]}" if name.startswith("call_tir") else name


class DenseBlock(nn.Module):
    """Layers that read all channels so far, either order of old and new."""

    def __init__(self, new_first: bool, growth: int = 16):
        super().__init__()
        self.stem, self.new_first = nn.Conv2d(3, 32, 3, padding=1), new_first
        widths = [32 + growth * k for k in range(4)]
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths)
        self.layers = nn.ModuleList(nn.Conv2d(width, growth, 3, padding=1) for width in widths[:-1])

    def forward(self, images):
        x = self.stem(images)
        for norm, layer in zip(self.norms, self.layers, strict=False):
            new = layer(functional.relu(norm(x)))
            x = torch.cat([new, x] if self.new_first else [x, new], 1)
        return functional.relu(self.norms[-1](x))


@pytest.mark.parametrize("new_first", [True, False])
def test_dense_block_copies_nothing(new_first):
    called = operations(DenseBlock(new_first).eval(), torch.zeros(1, 3, 8, 8))
    layer = ["call_tir pointwise", "call_tir_inplace convolution"]
    kernels = [name for name in called if name.startswith("call_tir")]
    assert kernels == ["call_tir convolution", *layer * 3, "call_tir pointwise"]
    assert "concat" not in called


def test_parts_whose_blocks_do_not_fit_are_copied_to_their_place():
    called = operations(DenseBlock(new_first=False, growth=12).eval(), torch.zeros(1, 3, 8, 8))
    assert called.count("call_tir_inplace pointwise") == 3


def test_convolution_reads_a_part_where_it_lies():
    module = densely(32, 16, lambda m, x, new: torch.cat([new, x], 1))
    called = operations(module, torch.zeros(1, 3, 8, 8))
    assert [name for name in called if "call_tir" in name] == ["call_tir convolution", "call_tir_inplace convolution"]


def test_all_tensors_of_a_dense_block_share_the_memory_of_two():
    target = cpu(2)
    module = rewritten(DenseBlock(new_first=True).eval(), torch.zeros(1, 3, 8, 8))
    passes = [relax.transform.LegalizeOps(), *dataflow_lower_passes(tvm.target.Target(target.tvm_target))]
    lowered = tvm.transform.Sequential([*passes, relax.transform.StaticPlanBlockMemory()])(module)
    assert lowered["main"].script().count("memory.alloc_storage") == 2


@pytest.mark.parametrize("growth", [16, 12])
@pytest.mark.parametrize("new_first", [True, False])
def test_batches_of_dense_blocks_equal_pytorch(new_first, growth):
    module, x = DenseBlock(new_first, growth).eval(), torch.randn(3, 3, 8, 8)
    with torch.no_grad():
        expected = module(x).numpy()
    np.testing.assert_allclose(compile_network(trace(module, x), module, cpu(2))(x.numpy()), expected, atol=1e-4)


class Normalised(nn.Module):
    """A 1x1 convolution of a concatenation after batch norm and ReLU, which its kernel computes."""

    def __init__(self):
        super().__init__()
        self.stem, self.new = nn.Conv2d(3, 48, 1), nn.Conv2d(48, 16, 1)
        self.norm, self.conv = nn.BatchNorm2d(64), nn.Conv2d(64, 16, 1, bias=False)
        for tensor in (self.norm.running_mean, self.norm.bias, self.norm.weight):
            nn.init.uniform_(tensor, -0.5, 0.5)

    def forward(self, x):
        x = self.stem(x)
        return self.conv(functional.relu(self.norm(torch.cat([self.new(x), x], 1))))


@pytest.mark.parametrize("factor", [2, 16])
@pytest.mark.parametrize("keep", ["prefix", "centre", "stride"])
def test_a_bottleneck_reads_channels_as_their_own_norm_leaves_them(factor, keep):
    torch.manual_seed(0)
    module, x = Normalised().eval(), torch.randn(1, 3, 8, 8)
    network = trace(module, x)
    sequence = TransformationSequence.parse(f"bottleneck(ci, {factor}, keep={keep})")
    form = operator_form(sequence.apply(network.transformable_layer("conv").operator.nest()))
    changed = transformed(network, {"conv": form}).eval()
    with torch.no_grad():
        expected = changed(x).numpy()
    np.testing.assert_allclose(compile_network(network, changed, cpu(2))(x.numpy()), expected, rtol=1e-4, atol=1e-5)
