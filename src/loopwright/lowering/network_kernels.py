"""Which kernel each convolution of a network runs, and with which weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from loopwright.lowering.layout import Channels
from loopwright.lowering.schedules.schedule import CpuSchedule
from loopwright.lowering.torch_module import OperatorModule
from loopwright.models.network import Network
from loopwright.operators.conv2d import Conv2d
from loopwright.targets.target import Target

Key = tuple[OperatorForm, int, Epilogue, CpuSchedule | None, Channels, int | None]


@dataclass(frozen=True, eq=False)
class BoundKernel:
    """A convolution's kernel and its constant arguments: packed weights, then scale and shift where it has them."""

    kernel: Kernel
    constants: tuple[np.ndarray, ...]


class NetworkKernels:
    """The kernels of ``module``, a trace of which is ``network``; layers that compute the same share one.

    ``schedules`` are by layer; a layer without one takes the kernel's own choice.
    """

    def __init__(self, network: Network, module: nn.Module, target: Target, schedules: Mapping[str, CpuSchedule]):
        self._layers = {weight: layer for layer, weight in network.weights.items()}
        self._module = module
        self.target = target
        self._schedules = {network.transformable_layer(layer).name: schedule for layer, schedule in schedules.items()}
        self._kernels: dict[Key, Kernel] = {}

    def bind(self, fused: FusedChain, weight: np.ndarray, read: Channels, whole: int | None) -> BoundKernel:
        """The kernel of a convolution and what follows it; ``weight`` is the traced one, (co, ci / groups, kh, kw).

        The input is the channels ``read`` of a tensor; with ``whole`` the result is part of one of so many channels.
        """
        layer = self._layers.get(fused.source.args[1].name, "")
        module = self._module.get_submodule(layer) if layer else None
        form = module.form if isinstance(module, OperatorModule) else plain_form(fused.source)
        weights = _trained(module) if isinstance(module, OperatorModule) else _gathered(form, weight)
        form = replace(form, input_shape=static_shape(fused.source.args[0])[1:])
        kernel = self._kernel(
            (form, static_shape(fused.result)[0], fused.epilogue, self._schedules.get(layer), read, whole)
        )
        return BoundKernel(kernel, (*kernel.pack(weights), *fused.affine_arguments))

    def _kernel(self, key: Key) -> Kernel:
        if key not in self._kernels:
            form, n, epilogue, schedule, read, whole = key
            self._kernels[key] = build_kernel(form, n, epilogue, self.target, schedule, read, whole)
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
