"""Kernels of 8 and of 4 lanes, also where the machine has wider vectors: operators, recipes and random sequences
against the interpreter."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from loopwright import targets
from loopwright.errors import ArgumentError
from loopwright.ir.contraction import operator_form
from loopwright.ir.interpreter import run
from loopwright.ir.loopnest import LoopNest
from loopwright.lowering.kernel import build_kernel
from loopwright.measurement.agreement import Agreement
from loopwright.measurement.build import compile_function
from loopwright.operators import parse
from loopwright.targets.cpu import cpu
from loopwright.targets.processors import require_runnable
from loopwright.targets.target import Target
from loopwright.transformations.recipes import applicable
from tests.lowering.ways import PLAIN, TOLERANCE, Tensors, by_kernel, relative_error
from tests.sampling import OPERATORS, random_nest, random_operator

RECIPE_NEST = parse("conv2d(co=32, ci=32, oh=8, ow=4, kh=3, kw=3)").nest()
RECIPES = {recipe.label(factor): sequence for recipe, factor, sequence in applicable(RECIPE_NEST)}
RANDOM_SEQUENCES = 25

NARROW = {
    "8 lanes": targets.named("cpu-avx2"),
    "4 lanes": replace(targets.named("cpu-neon"), processor=cpu().processor, features=(), triple="", name="cpu"),
}
"""AVX2 as it is, and this machine's instructions in the vectors that NEON has."""


@pytest.fixture(params=NARROW)
def target(request: pytest.FixtureRequest) -> Target:
    found = NARROW[request.param]
    try:
        require_runnable(found)
    except ArgumentError as error:
        pytest.skip(str(error))
    return found


def agrees(nest: LoopNest, target: Target) -> bool:
    tensors = Tensors.floats(nest)
    expected = run(nest, tensors.x, *tensors.weights)
    return relative_error(by_kernel(operator_form(nest), tensors, target), expected) < TOLERANCE


@pytest.mark.parametrize("text", OPERATORS)
def test_operators(text: str, target: Target) -> None:
    assert agrees(parse(text).nest(), target)


def test_random_sequences(target: Target) -> None:
    for seed in range(RANDOM_SEQUENCES):
        rng = random.Random(seed)
        nest = random_nest(random_operator(rng), rng, 6, legal=True)
        assert agrees(nest, target), f"{nest.computation.text}: {nest.steps}"


@pytest.mark.parametrize("label", RECIPES)
def test_recipes(label: str, target: Target) -> None:
    """Against the PyTorch module, at a size at which tiles are full."""
    form = operator_form(RECIPES[label].apply(RECIPE_NEST))
    kernel = build_kernel(form, 1, PLAIN, target)
    assert Agreement.of(form, 1, PLAIN, target).error(kernel, compile_function(kernel.primfunc, target)) < TOLERANCE
