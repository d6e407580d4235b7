"""A compiled kernel against the PyTorch module of the same operator, on random numbers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from loopwright.ir.contraction import OperatorForm
from loopwright.lowering.axes import to_image
from loopwright.lowering.epilogue import Epilogue
from loopwright.lowering.kernel import Kernel
from loopwright.lowering.layout import blocked_shape, from_blocked, to_blocked
from loopwright.lowering.torch_module import OperatorModule
from loopwright.measurement import tolerances
from loopwright.measurement.build import Compiled
from loopwright.measurement.device import Device, device_of
from loopwright.targets.target import FLOAT32, Target


@dataclass(frozen=True, eq=False)
class Agreement:
    """Random inputs of an operator, and what PyTorch makes of them, as images (`loopwright.lowering.axes`). ``extra``
    are the epilogue's tensors in order, ``device`` where kernels run, ``tolerance`` what they may differ by."""

    x: np.ndarray
    weights: tuple[np.ndarray, ...]
    extra: tuple[np.ndarray, ...]
    expected: np.ndarray
    lanes: int
    device: Device
    tolerance: float = tolerances.KERNEL[FLOAT32]

    @classmethod
    def of(cls, form: OperatorForm, n: int, epilogue: Epilogue, target: Target, seed: int = 0) -> Agreement:
        """For ``n`` images of an operator that was derived from a nest."""
        random = np.random.default_rng(seed)
        module = OperatorModule(form, form.weight_bounds)
        for parameter in module.parameters():
            parameter.data = torch.from_numpy(random.standard_normal(tuple(parameter.shape), dtype=np.float32))
        x = random.standard_normal((n, *form.input_shape), dtype=np.float32)
        weights = tuple(weight.detach().numpy() for weight in module.contraction_weights())
        with torch.no_grad():
            output = to_image(module(torch.from_numpy(x)).numpy(), form)
        channels: int = output.shape[1]
        scale = random.uniform(0.5, 1.5, channels).astype(np.float32) if epilogue.scale else None
        shift = random.standard_normal(channels, dtype=np.float32) if epilogue.shift else None
        residual = random.standard_normal(output.shape, dtype=np.float32) if epilogue.residual else None
        expected = _finished(output, scale, shift, residual, epilogue.bounds)
        lanes = target.activation_block
        stored = None if residual is None else to_blocked(residual, lanes)
        extra = tuple(tensor for tensor in (scale, shift, stored) if tensor is not None)
        return cls(to_image(x, form), weights, extra, expected, lanes, device_of(target), tolerance_of(target))

    def error(self, kernel: Kernel, compiled: Compiled) -> float:
        """The largest difference from PyTorch's output, relative to the largest output; NaN counts as infinite."""
        output = np.full(blocked_shape(len(self.x), self.expected.shape[1:], self.lanes), np.nan, np.float32)
        arrays = (to_blocked(self.x, self.lanes), *kernel.pack(self.weights), *self.extra, output)
        tensors = [self.device.tensor(array) for array in arrays]
        self.device.run(partial(compiled, *tensors))
        difference = np.abs(from_blocked(self.device.array(tensors[-1])) - self.expected).max()
        error = float(difference / max(float(np.abs(self.expected).max()), 1e-6))
        return error if error == error else float("inf")


def tolerance_of(target: Target) -> float:
    """What an operator on a target may differ by."""
    return tolerances.KERNEL[target.precision]


def _finished(
    output: np.ndarray,
    scale: np.ndarray | None,
    shift: np.ndarray | None,
    residual: np.ndarray | None,
    bounds: tuple[float, float],
) -> np.ndarray:
    """What the epilogue makes of a convolution's output."""
    output = output if scale is None else output * scale[:, None, None]
    output = output if shift is None else output + shift[:, None, None]
    output = output if residual is None else output + residual
    return np.clip(output, *bounds)
