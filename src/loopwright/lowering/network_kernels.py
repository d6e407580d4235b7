"""Which kernel each convolution and linear layer of a network runs, and with which weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from torch import nn
from tvm import relax

from loopwright.ir.contraction import OperatorForm, operator_form
from loopwright.lowering.constants import static_shape
from loopwright.lowering.epilogue import Epilogue
from loopwright.lowering.fusion import FusedChain
from loopwright.lowering.kernel import Kernel, build_kernel, takes_prologue
from loopwright.lowering.layout import Blocks, Channels
from loopwright.lowering.scaling import scaled
from loopwright.lowering.schedules.backend import Schedule
from loopwright.lowering.torch_module import OperatorModule
from loopwright.models.network import Network
from loopwright.operators.conv2d import Conv2d
from loopwright.operators.linear import Linear
from loopwright.targets.target import Target

ScheduleChoice = Callable[[OperatorForm, int], Schedule | None]
"""Gives the schedule of an operator for so many images, or None to leave it to the kernel."""


@dataclass(frozen=True)
class _Request:
    """What `build_kernel` is asked for, but for the schedule."""

    form: OperatorForm
    n: int
    blocks: Blocks
    read: Channels | None = None
    whole: int | None = None
    epilogue: Epilogue = field(default_factory=Epilogue)
    prologue: Epilogue | None = None


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
        self._kernels: dict[_Request, Kernel] = {}

    def takes_prologue(self, convolution: relax.Call) -> bool:
        """Whether the kernel of a convolution can compute what comes before it for each element alone."""
        return takes_prologue(self._form(convolution), self.target)

    def bind(
        self,
        fused: FusedChain,
        weight: np.ndarray,
        input_block: int,
        read: Channels,
        whole: int | None,
        prologue: Epilogue | None = None,
    ) -> BoundKernel:
        """The kernel of a convolution and what follows it; ``weight`` is the traced one, (co, ci / groups, kh, kw).

        The input is the channels ``read`` of a tensor in which ``input_block`` channels lie side by side, after the
        ``prologue``; with ``whole`` the result is part of a tensor of so many channels.
        """
        module, form = self._layer(fused.source), self._form(fused.source)
        weights = _trained(module) if isinstance(module, OperatorModule) else _gathered(form, weight)
        form = replace(form, input_shape=static_shape(fused.source.args[0])[1:])
        blocks = Blocks(input_block, self.target.activation_block)
        request = _Request(form, static_shape(fused.result)[0], blocks, read, whole, prologue=prologue)
        return self._bound(fused, weights, request)

    def _layer(self, convolution: relax.Call) -> nn.Module | None:
        """The module of a convolution that is a layer of the network."""
        layer = self._layers.get(getattr(convolution.args[1], "name", ""), "")  # a buffer is a constant, without name
        return self._module.get_submodule(layer) if layer else None

    def _form(self, convolution: relax.Call) -> OperatorForm:
        module = self._layer(convolution)
        return module.form if isinstance(module, OperatorModule) else plain_form(convolution)

    def bind_linear(self, fused: FusedChain, matrix: np.ndarray) -> BoundKernel:
        """The kernel of a linear layer and what follows it, over one image of all rows as columns, whose channels lie
        side by side; ``matrix`` is (ci, co)."""
        (rows, ci), (_, co) = static_shape(fused.source.args[0]), matrix.shape
        form = operator_form(Linear(1, co, ci, rows).nest())
        return self._bound(fused, _gathered(form, matrix.T), _Request(form, 1, Blocks(ci, co)))

    def _bound(self, fused: FusedChain, weights: list[np.ndarray], request: _Request) -> BoundKernel:
        folded = scaled(request.form, weights, fused.affine.scale)
        if folded is not None:
            fused, weights = fused.without_scale, folded
        kernel = self._kernel(replace(request, epilogue=fused.epilogue))
        return BoundKernel(kernel, (*kernel.pack(weights), *fused.affine_arguments))

    def _kernel(self, wanted: _Request) -> Kernel:
        if wanted not in self._kernels:
            as_timed = wanted.blocks.output == self.target.activation_block
            schedule = self._choose(wanted.form, wanted.n) if self._choose and as_timed else None
            self._kernels[wanted] = build_kernel(
                *(wanted.form, wanted.n, wanted.epilogue, self.target, schedule),
                blocks=wanted.blocks,
                read=wanted.read,
                whole=wanted.whole,
                prologue=wanted.prologue,
            )
        return self._kernels[wanted]


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
