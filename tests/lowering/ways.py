"""The ways to run a nest besides the interpreter: PyTorch module, literal TVM code, scheduled TVM kernel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import tvm
from tvm import tirx

from loopwright.ir.contraction import OperatorForm, operator_form
from loopwright.ir.loopnest import LoopNest
from loopwright.lowering.axes import as_image, from_image, to_image
from loopwright.lowering.epilogue import Epilogue
from loopwright.lowering.kernel import build_kernel
from loopwright.lowering.layout import blocked_shape, from_blocked, to_blocked
from loopwright.lowering.literal import literal_primfunc
from loopwright.lowering.torch_module import OperatorModule
from loopwright.measurement.build import Compiled, compile_function
from loopwright.targets.cpu import cpu
from loopwright.targets.target import Target

PLAIN = Epilogue(scale=False, shift=False, residual=False, relu=False)
TOLERANCE = 1e-4
"""Largest difference, relative to the largest output, that float32 sums in another order explain."""


@dataclass(frozen=True, eq=False)
class Tensors:
    """Input, weight and, for nests that end in a projection, its weight."""

    x: np.ndarray
    weight: np.ndarray
    projection: np.ndarray | None = None

    @classmethod
    def integers(cls, nest: LoopNest) -> Tensors:
        """Small integers, so that sums in any order are exactly equal."""
        values = np.random.default_rng(0)
        return cls(*(values.integers(-4, 5, shape) for shape in _shapes(nest)))

    @classmethod
    def floats(cls, nest: LoopNest) -> Tensors:
        """Standard normal float32."""
        values = np.random.default_rng(0)
        return cls(*(values.standard_normal(shape, dtype=np.float32) for shape in _shapes(nest)))

    @property
    def weights(self) -> list[np.ndarray]:
        """Those there are."""
        return [self.weight] if self.projection is None else [self.weight, self.projection]


def _shapes(nest: LoopNest) -> list[tuple[int, ...]]:
    shapes = [nest.computation.input.shape, nest.weight.shape]
    return [*shapes, nest.projection.nest.weight.shape] if nest.projection else shapes


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference, relative to the largest value; infinite where a value is missing."""
    assert found.shape == expected.shape, f"shape {found.shape} instead of {expected.shape}"
    error = float(np.abs(found - expected).max() / max(float(np.abs(expected).max()), 1e-3))
    return error if error == error else float("inf")


@torch.no_grad()
def by_module(form: OperatorForm, tensors: Tensors) -> np.ndarray:
    """What the operator's PyTorch module gives."""
    x, weights = torch.from_numpy(tensors.x), list(tensors.weights)
    operand = [torch.from_numpy(weights[0])] if form.two_inputs else []
    module = OperatorModule(form, weights[0].shape[1:] if operand else weights[0].shape)
    stages = [module] if module.then is None else [module, module.then]
    for stage, weight in list(zip(stages, weights, strict=True))[len(operand) :]:
        for name, indices in stage.origins().items():
            stage.get_parameter(name).copy_(torch.from_numpy(np.asarray(weight.ravel()[indices])))
    return module(x, *operand).numpy()


def by_literal_code(nest: LoopNest, tensors: Tensors) -> np.ndarray:
    """What the nest gives, compiled loop by loop."""
    output = np.full(nest.computation.output.shape, np.nan, np.float32)
    arrays = [tvm.runtime.tensor(array) for array in (tensors.x, *tensors.weights, output)]
    _compiled_quickly(literal_primfunc(nest), cpu())(*arrays)
    return arrays[-1].numpy()


def _compiled_quickly(primfunc: tirx.PrimFunc, target: Target) -> Compiled:
    """Without most of what LLVM does to make code fast."""
    quick = tvm.target.Target({**target.tvm_target, "opt-level": 1})
    return tvm.compile(primfunc, quick).jit()[primfunc.attrs["global_symbol"]]


def by_kernel(form: OperatorForm, tensors: Tensors, target: Target | None = None) -> np.ndarray:
    """What the operator's scheduled kernel gives, for the host without a ``target``; image by image where each has an
    operand of its own."""
    target = target or cpu()
    if form.two_inputs:
        rows = [(tensors.x[[k]], [own, *tensors.weights[1:]]) for k, own in enumerate(tensors.weight)]
        return np.concatenate([_run_kernel(form, x, weights, target) for x, weights in rows])
    return _run_kernel(form, tensors.x, tensors.weights, target)


def _run_kernel(form: OperatorForm, x: np.ndarray, weights: list[np.ndarray], target: Target) -> np.ndarray:
    lanes, last = target.vector_lanes, form.stages[-1]
    kernel = build_kernel(form, len(x), PLAIN, target)
    dense = [
        weight.ravel()[contraction.weight_indices(weight.shape)]
        for stage, weight in zip(form.stages, weights, strict=True)
        for contraction in stage.contractions
    ]
    output = np.full(blocked_shape(len(x), as_image(last).form.output_shape, lanes), np.nan, np.float32)
    arrays = (to_blocked(to_image(x, form), lanes), *kernel.pack(dense), output)
    tensors = [tvm.runtime.tensor(np.ascontiguousarray(array)) for array in arrays]
    compile_function(kernel.primfunc, target)(*tensors)
    return from_image(from_blocked(tensors[-1].numpy()), last)


WAYS: dict[str, Callable[[LoopNest, Tensors], np.ndarray]] = {
    "PyTorch module": lambda nest, tensors: by_module(operator_form(nest), tensors),
    "literal TVM code": by_literal_code,
    "scheduled TVM kernel": lambda nest, tensors: by_kernel(operator_form(nest), tensors),
}
