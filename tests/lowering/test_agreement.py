"""The lowerings of every recipe agree, and a canary that drops an iteration does not get past any; `tests/properties`
holds them all against the interpreter for drawn operators and sequences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from loopwright.ir.contraction import Contraction, OperatorForm, operator_form
from loopwright.ir.interpreter import run
from loopwright.lowering.kernel import build_kernel
from loopwright.measurement.agreement import Agreement
from loopwright.measurement.build import compile_function
from loopwright.operators import parse
from loopwright.targets.cpu import cpu
from loopwright.transformations.recipes import applicable
from tests.lowering.ways import PLAIN, TOLERANCE, Tensors, by_kernel, by_module, relative_error
from tests.sampling import OPERATORS

RECIPE_NEST = parse("conv2d(co=32, ci=32, oh=8, ow=4, kh=3, kw=3)").nest()
RECIPE_SEQUENCES = {recipe.label(factor): sequence for recipe, factor, sequence in applicable(RECIPE_NEST)}


@pytest.mark.parametrize("label", RECIPE_SEQUENCES)
def test_the_lowerings_of_recipes_agree(label: str) -> None:
    """Against the PyTorch module: `tests/transformations/test_known_operators.py` has the interpreter."""
    form = operator_form(RECIPE_SEQUENCES[label].apply(RECIPE_NEST))
    target = cpu()
    agreement = Agreement.of(form, 2, PLAIN, target)
    kernel = build_kernel(form, 2, PLAIN, target)
    assert agreement.error(kernel, compile_function(kernel.primfunc, target)) < TOLERANCE


def dropping_an_iteration(form: OperatorForm) -> OperatorForm:
    """The canary: the last dim of every contraction loses an iteration."""
    return replace(form, contractions=tuple(_shortened(contraction) for contraction in form.contractions))


def _shortened(contraction: Contraction) -> Contraction:
    *others, last = contraction.dims
    assert contraction.origin is not None
    *kept, weight = contraction.origin.dims
    origin = replace(contraction.origin, dims=(*kept, replace(weight, extent=weight.extent - 1)))
    return replace(contraction, dims=(*others, replace(last, extent=last.extent - 1)), origin=origin)


@pytest.mark.parametrize("text", OPERATORS)
@pytest.mark.parametrize("lowering", [by_module, by_kernel])
def test_a_dropped_iteration_is_caught(text: str, lowering: Callable[..., np.ndarray]) -> None:
    nest = parse(text).nest()
    tensors = Tensors.floats(nest)
    found = lowering(dropping_an_iteration(operator_form(nest)), tensors)
    assert relative_error(found, run(nest, tensors.x, tensors.weight)) > TOLERANCE
