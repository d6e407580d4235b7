"""Which kernel each convolution and linear layer of a network runs, and with which weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import nn
from tvm import relax

from loopwright.ir.contraction import OperatorForm, operator_form
from loopwright.lowering.constants import static_shape
from loopwright.lowering.epilogue import Epilogue
from loopwright.lowering.fusion import FusedChain
from loopwright.lowering.kernel import Kernel, build_kernel
from loopwright.lowering.layout import Blocks
from loopwright.lowering.scaling import scaled
from loopwright.lowering.schedules.schedule import CpuSchedule
from loopwright.lowering.torch_module import OperatorModule
from loopwright.models.network import Network
from loopwright.operators.conv2d import Conv2d
from loopwright.operators.linear import Linear
from loopwright.targets.target import Target

Key = tuple[OperatorForm, int, Epilogue, Blocks]
ScheduleChoice = Callable[[OperatorForm, int], CpuSchedule | None]
"""Gives the schedule of an operator for so many images, or None to leave it to the kernel."""


@dataclass(frozen=True, eq=False)
class BoundKernel:
    """A convolution's kernel and its constant arguments: packed weights, then scale and shift where it has them. The
    scale is part of the weights where it can be."""

    kernel: Kernel
    constants: tuple[np.ndarray, ...]


class NetworkKernels:
    """The kernels of ``module``, a trace of which is ``network``; layers that compute the same share one.

    ``choose`` gives the schedules of operators whose outputs are stored in blocks; other kernels choose themselves.
    """

    def __init__(self, network: Network, module: nn.Module, target: Target, choose: ScheduleChoice | None = None):
        self._layers = {weight: layer for layer, weight in network.weights.items()}
        self._module = module
        self.target = target
        self._choose = choose
        self._kernels: dict[Key, Kernel] = {}

    def bind(self, fused: FusedChain, weight: np.ndarray, input_block: int) -> BoundKernel:
        """The kernel of a convolution and what follows it; ``weight`` is the traced one, (co, ci / groups, kh, kw).
        ``input_block`` channels of its input lie side by side."""
        layer = self._layers.get(fused.source.args[1].name, "")
        module = self._module.get_submodule(layer) if layer else None
        form = module.form if isinstance(module, OperatorModule) else plain_form(fused.source)
        weights = _trained(module) if isinstance(module, OperatorModule) else _gathered(form, weight)
        form = replace(form, input_shape=static_shape(fused.source.args[0])[1:])
        blocks = Blocks(input_block, self.target.vector_lanes)
        return self._bound(fused, form, weights, static_shape(fused.result)[0], blocks)

    def bind_linear(self, fused: FusedChain, matrix: np.ndarray) -> BoundKernel:
        """The kernel of a linear layer and what follows it, over one image of all rows as columns, whose channels lie
        side by side; ``matrix`` is (ci, co)."""
        (rows, ci), (_, co) = static_shape(fused.source.args[0]), matrix.shape
        form = operator_form(Linear(1, co, ci, rows).nest())
        return self._bound(fused, form, _gathered(form, matrix.T), 1, Blocks(ci, co))

    def _bound(
        self, fused: FusedChain, form: OperatorForm, weights: list[np.ndarray], n: int, blocks: Blocks
    ) -> BoundKernel:
        folded = scaled(form, weights, fused.affine.scale)
        if folded is not None:
            fused, weights = fused.without_scale, folded
        kernel = self._kernel((form, n, fused.epilogue, blocks))
        return BoundKernel(kernel, (*kernel.pack(weights), *fused.affine_arguments))

    def _kernel(self, key: Key) -> Kernel:
        if key not in self._kernels:
            form, n, epilogue, blocks = key
            as_timed = blocks.output == self.target.vector_lanes
            schedule = self._choose(form, n) if self._choose and as_timed else None
            self._kernels[key] = build_kernel(form, n, epilogue, self.target, schedule, blocks)
        return self._kernels[key]


def plain_form(call: relax.Call) -> OperatorForm:
    """The form of an untransformed convolution as Relax has it."""
    (n, ci, ih, iw), (co, _, kh, kw) = static_shape(call.args[0]), static_shape(call.args[1])
    oh, ow = static_shape(call)[2:]
    attrs = call.attrs
    operator = Conv2d(
        *(n, co, ci, oh, ow, kh, kw),
        stride=_pair(attrs.strides),
        padding=_pair(attrs.padding),
        dilation=_pair(attrs.dilation),
        groups=int(attrs.groups),
        input_size=(ih, iw),
    )
    return operator_form(operator.nest())


def _pair(values: Sequence[Any]) -> tuple[int, int]:
    """Rows and columns; of a padding those before the first."""
    return int(values[0]), int(values[1])


def _trained(module: OperatorModule) -> list[np.ndarray]:
    return [weight.detach().cpu().numpy() for weight in module.contraction_weights()]


def _gathered(form: OperatorForm, weight: np.ndarray) -> list[np.ndarray]:
    """The contractions' weights out of the convolution's."""
    return [weight.reshape(-1)[contraction.weight_indices(weight.shape)] for contraction in form.contractions]
