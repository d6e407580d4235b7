"""Operators in PyTorch against the interpreter, exactly, and their weights against the convolution they come from."""

from __future__ import annotations

import random
import tracemalloc

import numpy as np
import pytest
import torch
from torch import nn

from loopwright.ir.contraction import operator_form
from loopwright.ir.interpreter import run
from loopwright.ir.loopnest import LoopNest
from loopwright.lowering.torch_module import OperatorModule
from loopwright.operators import parse
from loopwright.operators.conv2d import Conv2d
from loopwright.transformations import TransformationSequence
from tests.properties.checks import lowerings_agree
from tests.sampling import integers, random_nest, random_operator


def convolution(operator: Conv2d, weight: np.ndarray | None = None, bias: bool = False) -> nn.Conv2d:
    settings = operator.strides, operator.paddings, operator.dilations, operator.groups
    conv = nn.Conv2d(operator.ci, operator.co, operator.kernel, *settings, bias=bias).double()
    if weight is not None:
        conv.weight.data = torch.from_numpy(weight).double()
    return conv


def with_original_weights(nest: LoopNest, weight: np.ndarray) -> OperatorModule:
    """The module that reads the weight's own values, not rescaled."""
    numbered = np.arange(weight.size, dtype=float).reshape(weight.shape)
    module = OperatorModule(operator_form(nest), weight.shape).double()
    for name, indices in module.origins().items():
        assert np.array_equal(numbered.ravel()[indices], indices)
        getattr(module, name).data = torch.from_numpy(np.asarray(weight.ravel()[indices])).double()
    return module


@pytest.mark.parametrize("seed", range(120))
def test_modules_compute_what_the_interpreter_does(seed: int) -> None:
    rng = random.Random(seed)
    nest = random_nest(random_operator(rng), rng, 6, legal=True)
    x, weight = integers(nest, seed)
    inputs = [torch.from_numpy(array).double() for array in (x, weight)]
    if nest.computation.two_inputs:
        module = OperatorModule(operator_form(nest), weight.shape[1:])
        found = module(*inputs).numpy()
    else:
        module = with_original_weights(nest, weight)
        found = module(inputs[0]).detach().numpy()
    assert np.allclose(found, run(nest, x, weight), rtol=0, atol=1e-9)
    assert sum(parameter.numel() for parameter in module.parameters()) == nest.parameters


TEXT = "conv2d(co=8, ci=8, oh=6, ow=6, kh=3, kw=3)"


def module_of(sequence: str, bias: bool = False) -> tuple[OperatorModule, nn.Conv2d]:
    operator = parse(TEXT)
    assert isinstance(operator, Conv2d)
    form = operator_form(TransformationSequence.parse(sequence).apply(operator.nest()))
    conv = convolution(operator, bias=bias)
    return OperatorModule.from_conv(form, conv), conv


def test_a_single_output_is_summed_from_several_statements() -> None:
    base = parse("conv2d(n=3, co=1, ci=1, oh=1, ow=1, kh=2, kw=2)").nest()
    nest = TransformationSequence.parse("partition(kh, 1) -> on s0: bottleneck(kw, 2)").apply(base)
    lowerings_agree(nest)


def test_a_module_keeps_little_beside_its_weights() -> None:
    form = operator_form(parse("conv2d(co=128, ci=128, oh=4, ow=4, kh=3, kw=3)").nest())
    tracemalloc.start()
    module = OperatorModule(form, (128, 128, 3, 3))
    kept, _ = tracemalloc.get_traced_memory()  # of NumPy and Python, not of PyTorch
    tracemalloc.stop()
    assert kept < module.get_parameter("weight_0").numel()


def test_the_untransformed_module_is_the_convolution() -> None:
    module, conv = module_of("identity", bias=True)
    x = torch.randn(3, 8, 6, 6, dtype=torch.double)
    assert torch.allclose(module(x), conv(x))
    assert torch.equal(module.weight_0.view_as(conv.weight), conv.weight)


def test_inherited_weights_are_scaled_by_the_root_of_the_fan_in() -> None:
    module, conv = module_of("group(co, ci, 2)")
    assert torch.allclose(module.weight_0[1].reshape(4, 4, 3, 3), conv.weight[4:, 4:] * 2**0.5)


@pytest.mark.parametrize(
    "sequence",
    ["split(oh, 3) -> group(oh_outer, co, 2)", "unroll(co, 2) -> on s1: group(co, ci, 2)", "group(kh, ow, 3)",
     "bottleneck(oh, 2) -> bottleneck(ow, 2)", "partition(ci, 4) -> on s1: bottleneck(co, 2)"],
)  # fmt: skip
def test_modules_train(sequence: str) -> None:
    module, _ = module_of(sequence)
    x = torch.randn(2, 8, 6, 6, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(module, (x,), fast_mode=True)
    module(x).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in module.parameters())


def test_state_round_trips_and_holds_weights_only() -> None:
    module, _ = module_of("split(oh, 3) -> group(oh_outer, co, 2)", bias=True)
    other, _ = module_of("split(oh, 3) -> group(oh_outer, co, 2)", bias=True)
    assert module.state_dict().keys() == {"weight_0", "bias"}
    other.load_state_dict(module.state_dict())
    x = torch.randn(1, 8, 6, 6, dtype=torch.double)
    assert torch.equal(module(x), other(x))


def test_any_batch_runs() -> None:
    module, _ = module_of("group(co, ci, 2)")
    assert module(torch.zeros(5, 8, 6, 6, dtype=torch.double)).shape == (5, 8, 6, 6)


def test_a_projection_from_one_channel_begins_as_repeating_it() -> None:
    module, conv = module_of("bottleneck(co, 8, complete=project)")
    x = torch.randn(2, 8, 6, 6, dtype=torch.double)
    assert torch.allclose(module(x), conv(x)[:, :1].expand(2, 8, 6, 6))
