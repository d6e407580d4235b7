"""One meaning, four ways to it: interpreter, PyTorch module, literal TVM code and scheduled TVM kernel agree, for 200
random sequences over all operators, and a canary that drops an iteration does not get past them."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
import tvm

from loopwright.ir.contraction import Contraction, OperatorForm, operator_form
from loopwright.ir.interpreter import run
from loopwright.ir.loopnest import LoopNest
from loopwright.lowering.axes import as_image, from_image, to_image
from loopwright.lowering.epilogue import Epilogue
from loopwright.lowering.kernel import build_kernel
from loopwright.lowering.layout import blocked_shape, from_blocked, to_blocked
from loopwright.lowering.literal import literal_primfunc
from loopwright.lowering.torch_module import OperatorModule
from loopwright.measurement.agreement import Agreement
from loopwright.measurement.build import compile_function
from loopwright.operators import parse
from loopwright.targets.cpu import cpu
from loopwright.transformations import TransformationSequence
from loopwright.transformations.recipes import applicable
from tests.sampling import OPERATORS, random_nest

SEQUENCES = 200
PLAIN = Epilogue(scale=False, shift=False, residual=False, relu=False)
TOLERANCE = 1e-4


def numbers(nest: LoopNest, seed: int) -> tuple[np.ndarray, np.ndarray]:
    values = np.random.default_rng(seed)
    shapes = nest.computation.input.shape, nest.weight.shape
    return tuple(values.standard_normal(shape, dtype=np.float32) for shape in shapes)  # type: ignore[return-value]


def error(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference, relative to the largest value."""
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / max(float(np.abs(expected).max()), 1e-3))


def by_module(form: OperatorForm, x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        if form.two_inputs:
            return OperatorModule(form, weight.shape[1:])(torch.from_numpy(x), torch.from_numpy(weight)).numpy()
        module = OperatorModule(form, weight.shape)
        for name, indices in module.origins().items():
            getattr(module, name).data = torch.from_numpy(np.asarray(weight.ravel()[indices]))
        return module(torch.from_numpy(x)).numpy()


def by_literal_code(nest: LoopNest, x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    output = np.full(nest.computation.output.shape, np.nan, np.float32)
    tensors = [tvm.runtime.tensor(array) for array in (x, weight, output)]
    compile_function(literal_primfunc(nest), cpu())(*tensors)
    return tensors[2].numpy()


def by_kernel(form: OperatorForm, x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    if form.two_inputs:
        images = [run_kernel(form, x[[k]], operand) for k, operand in enumerate(weight)]
        return np.concatenate(images)
    return run_kernel(form, x, weight)


def run_kernel(form: OperatorForm, x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    target = cpu()
    lanes = target.vector_lanes
    kernel = build_kernel(form, len(x), PLAIN, target)
    packed = kernel.pack([weight.ravel()[c.weight_indices(weight.shape)] for c in form.contractions])
    output = np.full(blocked_shape(len(x), as_image(form).form.output_shape, lanes), np.nan, np.float32)
    arrays = (to_blocked(to_image(x, form), lanes), *packed, output)
    tensors = [tvm.runtime.tensor(np.ascontiguousarray(array)) for array in arrays]
    compile_function(kernel.primfunc, target)(*tensors)
    return from_image(from_blocked(tensors[-1].numpy()), form)


@pytest.mark.parametrize("seed", range(SEQUENCES))
def test_all_lowerings_agree_with_the_interpreter(seed: int) -> None:
    nest = random_nest(parse(OPERATORS[seed % len(OPERATORS)]), random.Random(seed), 6, legal=True)
    x, weight = numbers(nest, seed)
    form, expected = operator_form(nest), run(nest, x, weight)
    assert error(by_module(form, x, weight), expected) < TOLERANCE, nest.steps
    assert error(by_literal_code(nest, x, weight), expected) < TOLERANCE, nest.steps
    assert error(by_kernel(form, x, weight), expected) < TOLERANCE, nest.steps


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


def test_a_module_with_versions_and_a_projection_means_what_the_interpreter_says() -> None:
    sequence = "split(oh, 4) -> untie(oh_outer) -> bottleneck(co, 2, keep=stride, complete=project)"
    nest = TransformationSequence.parse(sequence).apply(parse(OPERATORS[0]).nest())
    x, weight = numbers(nest, 0)
    assert nest.projection is not None
    projection = numbers(nest.projection.nest, 1)[1]
    module = OperatorModule(operator_form(nest), weight.shape)
    module.weight_0.data = torch.from_numpy(weight.ravel()[module.origins()["weight_0"]])
    assert module.then is not None
    module.then.weight_0.data = torch.from_numpy(projection)
    with torch.no_grad():
        found = module(torch.from_numpy(x)).numpy()
    assert error(found, run(nest, x, weight, projection)) < TOLERANCE


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
def test_a_dropped_iteration_is_caught(text: str, lowering) -> None:  # type: ignore[no-untyped-def]
    nest = parse(text).nest()
    x, weight = numbers(nest, 0)
    found = lowering(dropping_an_iteration(operator_form(nest)), x, weight)
    assert error(found, run(nest, x, weight)) > TOLERANCE
