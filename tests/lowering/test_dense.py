"""Operators as dense convolutions, against the interpreter and against the general lowering."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from loopwright.ir.contraction import operator_form
from loopwright.ir.interpreter import run
from loopwright.lowering.torch_module import OperatorModule
from loopwright.operators import parse
from loopwright.transformations import TransformationSequence
from loopwright.transformations.recipes import RECIPES
from tests.lowering.test_torch_module import with_original_weights
from tests.sampling import OPERATORS, integers, random_nest

CONVOLUTIONS = [text for text in OPERATORS if text.startswith("conv2d")]
LAYOUTS = (torch.contiguous_format, torch.channels_last)
TEXT = "conv2d(co=32, ci=32, oh=8, ow=8, kh=3, kw=3)"


def module_of(sequence: str, text: str = TEXT) -> OperatorModule:
    form = operator_form(TransformationSequence.parse(sequence).apply(parse(text).nest()))
    module = OperatorModule(form, form.weight_bounds).double()
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.double)
    return module


def images(module: OperatorModule, layout: torch.memory_format = torch.contiguous_format) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    drawn = torch.randn(2, *module.form.input_shape, generator=generator, dtype=torch.double)
    return drawn.to(memory_format=layout)


def first_stage(module: OperatorModule, x: torch.Tensor) -> torch.Tensor:
    """By the general lowering."""
    return module._stage(x, module.contraction_weights()[: len(module.form.contractions)])


def test_plans_compute_what_the_interpreter_does() -> None:
    planned = 0
    for seed in range(150):
        rng = random.Random(seed)
        nest = random_nest(parse(rng.choice(CONVOLUTIONS)), rng, 6, legal=True)
        x, weight = integers(nest, seed)
        module = with_original_weights(nest, weight)
        if module.dense_plan is None or module.then is not None:
            continue
        planned += 1
        for layout in LAYOUTS:
            found = module.dense(torch.from_numpy(x).double().to(memory_format=layout))
            assert np.allclose(found.detach().numpy(), run(nest, x, weight), rtol=0, atol=1e-9), (seed, layout)
    assert planned > 120


@pytest.mark.parametrize("name", sorted(set(RECIPES) - {"locally_connected"}))
def test_recipes_agree_with_the_general_lowering(name: str) -> None:
    nest = parse(TEXT).nest()
    module = module_of(str(RECIPES[name].sequence(nest, 2)))
    assert module.dense_plan is not None
    for layout in LAYOUTS:
        x = images(module, layout).requires_grad_()
        found, expected = module.dense(x), first_stage(module, x)
        assert torch.allclose(found, expected)
        for ours, theirs in zip(gradients(module, x, found), gradients(module, x, expected), strict=True):
            assert torch.allclose(ours, theirs)


def gradients(module: OperatorModule, x: torch.Tensor, output: torch.Tensor) -> tuple[torch.Tensor, ...]:
    own = [parameter for name, parameter in module.named_parameters() if not name.startswith("then")]
    return torch.autograd.grad(output.square().sum(), [x, *own])


@pytest.mark.parametrize(
    ("sequence", "convolutions"),
    [
        ("group(co, ci, 4)", 1),
        ("partition(co, 16) -> on s0: group(co, ci, 2) -> on s1: group(co, ci, 4)", 1),
        ("reorder(oh, co, ci) -> bottleneck(oh, 2) -> reorder(ow, oh, co, ci) -> bottleneck(ow, 2)", 1),
        ("split(oh, 4) -> reorder(oh_outer, co, ci) -> group(oh_outer, co, 2)", 2),
        ("split(oh, 2) -> untie(oh_outer)", 4),
        ("reorder(ow, ci) -> group(ow, ci, 8)", 8),
    ],
)  # fmt: skip
def test_regions_are_where_weights_differ(sequence: str, convolutions: int) -> None:
    module = module_of(sequence)
    assert module.dense_plan is not None
    assert module.dense_plan.convolutions == convolutions
    assert module.dense_plan.macs <= module_of("identity").form.macs
    assert torch.allclose(module.dense(images(module)), first_stage(module, images(module)))


def test_spatial_bottlenecks_compute_kept_places_only() -> None:
    module = module_of("reorder(oh, co, ci) -> bottleneck(oh, 2) -> reorder(ow, oh, co, ci) -> bottleneck(ow, 2)")
    assert module.dense_plan is not None
    assert module.dense_plan.macs == module.form.macs


@pytest.mark.parametrize(
    ("sequence", "text"),
    [
        ("reorder(oh, ow) -> group(oh, ow, 2)", TEXT),  # blocks of pixels on the diagonal
        ("untie(oh) -> untie(ow)", TEXT),  # 64 convolutions
        ("identity", "conv_transpose2d(co=4, ci=4, oh=8, ow=8, kh=4, kw=4, stride=2)"),
        ("identity", "conv1d(co=4, ci=4, ow=8, kw=3)"),
    ],
)
def test_some_operators_have_no_plan(sequence: str, text: str) -> None:
    assert module_of(sequence, text).dense_plan is None


def test_plans_are_found_with_other_tensors_in_the_place_of_parameters() -> None:
    """As scores are computed."""

    class Dense(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.own = module_of("group(co, ci, 4)")

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.own.dense(x)

    module = Dense()
    x, expected = images(module.own), module.own(images(module.own))
    plain = {name: parameter.detach() for name, parameter in module.named_parameters()}
    assert torch.allclose(torch.func.functional_call(Dense(), plain, (x,)), expected)


def test_channels_stay_last_in_memory() -> None:
    for sequence in ("group(co, ci, 2)", "bottleneck(co, 2)", "split(oh, 2) -> untie(oh_outer)"):
        module = module_of(sequence)
        found = module.dense(images(module, torch.channels_last))
        assert found.is_contiguous(memory_format=torch.channels_last), sequence


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("sequence", ["group(co, ci, 4)", "split(oh, 4) -> untie(oh_outer)", "bottleneck(co, 2)"])
def test_on_a_gpu_the_plan_is_used(sequence: str) -> None:
    module = module_of(sequence)
    expected = module(images(module))
    module = module.cuda()
    assert torch.allclose(module(images(module).cuda()).cpu(), expected)
    assert module._dense
