"""Inherited weights, fitted so that layers put out what the original's do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from loopwright.ir.contraction import OperatorForm
from loopwright.lowering.torch_module import OperatorModule
from loopwright.lowering.transformed import transformed
from loopwright.models.modes import evaluating
from loopwright.models.network import Network

FIT_STEPS = 10


@torch.no_grad()
def settle(module: nn.Module, original: nn.Module, batches: Sequence[Tensor], steps: int = FIT_STEPS) -> None:
    """Fits ``module``, which has inherited the weights of the trained ``original``, to what its layers see now.

    Layer after layer, the weights of every transformed operator move towards those with which its outputs for the first
    of ``batches`` (images (N, C, H, W)) are nearest to the original layer's, in the sum of squares: ``steps`` of
    conjugate gradients, so that what few images do not tell stays inherited (He, Zhang and Sun, "Channel Pruning for
    Accelerating Very Deep Neural Networks", 2017, fit what is left of a layer so). Then they are multiplied by one
    number, so that the outputs have the original's mean square. At the end the statistics of batch norms are taken anew
    over all batches. The original stays as it is.
    """
    changed = operators(module)
    wanted = _outputs(original, changed, batches[0])
    with evaluating(module, batch_statistics=True), ExitStack() as hooks:
        for path, operator in changed.items():
            hooks.enter_context(_hooked(operator, _Fitting(operator, wanted.pop(path), steps)))
        module(batches[0])
    reestimate(module, batches)


@torch.no_grad()
def reestimate(module: nn.Module, batches: Iterable[Tensor]) -> None:
    """Sets the statistics of all batch norms to the means over ``batches``."""
    norms = [child for child in module.modules() if isinstance(child, _BatchNorm) and child.track_running_stats]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    with evaluating(module, batch_statistics=True):
        try:
            for norm in norms:
                norm.reset_running_stats()
                norm.momentum = None  # the mean over all that come
            for batch in batches:
                module(batch)
        finally:
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum


def inherited(
    network: Network, trained: nn.Module, forms: Mapping[str, OperatorForm], batches: Sequence[Tensor]
) -> nn.Module:
    """The changed network with the weights of ``trained``, the original's module, settled on ``batches``; a copy."""
    module = transformed(replace(network, module=trained), forms)
    if forms:
        settle(module, trained, batches)
    return module


class _Fitting:
    """Fits an operator's weights to the ``wanted`` output at its first call, and gives its output with these; a hook.
    Outputs are without the bias."""

    def __init__(self, operator: OperatorModule, wanted: Tensor, steps: int):
        self._operator, self._wanted, self._steps = operator, wanted, steps
        self._called = False

    def __call__(self, _module: nn.Module, inputs: tuple[Tensor, ...], _output: Tensor) -> Tensor | None:
        if self._called or len(inputs) > 1:
            return None
        self._called = True
        own, bias = self._operator, self._operator.bias
        own.bias = None
        try:
            weights = {name: own.get_parameter(name) for name in own.origins()}
            output = _fitted(own, weights, inputs[0], self._wanted, self._steps)
            factor = _mean_square(self._wanted).sqrt() / _mean_square(output).sqrt()
            if torch.isfinite(factor) and factor != 0:
                for weight in weights.values():
                    weight.mul_(factor)
                output = output * factor
        finally:
            own.bias = bias
        return output if bias is None else output + _bias(own, output)


def _fitted(operator: nn.Module, weights: Mapping[str, Tensor], x: Tensor, wanted: Tensor, steps: int) -> Tensor:
    """Changes ``weights``, in which the operator is linear, by conjugate gradients on the normal equations (CGLS;
    Hestenes and Stiefel, 1952); gives the output for ``x`` with them."""
    names, values = list(weights), list(weights.values())

    def outputs(own: Sequence[Tensor]) -> Tensor:
        return cast(Tensor, functional_call(operator, dict(zip(names, own, strict=True)), (x,)))

    with torch.enable_grad():
        points = [value.detach().clone().requires_grad_() for value in values]
        graph = outputs(points)

    def transposed(own: Tensor) -> Sequence[Tensor]:
        return torch.autograd.grad(graph, points, own, retain_graph=True)

    output = graph.detach().clone()
    residual = wanted - output
    slope = transposed(residual)
    direction, length = slope, _squares(slope)
    for _ in range(steps):
        along = outputs(direction)
        if not (energy := _squares([along])) > 0:
            break
        rate = length / energy
        for value, part in zip(values, direction, strict=True):
            value.add_(part, alpha=rate)
        output.add_(along, alpha=rate)
        residual.sub_(along, alpha=rate)
        slope, before = transposed(residual), length
        length = _squares(slope)
        direction = [part + own * (length / before) for part, own in zip(slope, direction, strict=True)]
    return output


def _squares(parts: Iterable[Tensor]) -> float:
    """The sum over all elements."""
    return sum(float(part.square().sum()) for part in parts)


def operators(module: nn.Module) -> dict[str, OperatorModule]:
    """The transformed operators by their layers' names; a second stage belongs to its operator."""
    found: dict[str, OperatorModule] = {}
    for path, child in module.named_modules():
        if isinstance(child, OperatorModule) and path.rpartition(".")[0] not in found:
            found[path] = child
    return found


def _outputs(original: nn.Module, layers: Iterable[str], images: Tensor) -> dict[str, Tensor]:
    """Each layer's output at its first call, without the bias."""
    found: dict[str, Tensor] = {}

    def take(path: str) -> Any:
        def hook(layer: nn.Module, _inputs: Any, output: Tensor) -> None:
            if path not in found:
                found[path] = output - _bias(layer, output)

        return hook

    buffers = {name: buffer.clone() for name, buffer in original.named_buffers()}
    try:
        with evaluating(original, batch_statistics=True), ExitStack() as hooks:
            for path in layers:
                hooks.enter_context(_hooked(original.get_submodule(path), take(path)))
            original(images)
    finally:
        for name, buffer in original.named_buffers():
            buffer.copy_(buffers[name])
    return found


def _mean_square(output: Tensor) -> Tensor:
    return output.float().square().mean()


def _bias(layer: nn.Module, output: Tensor) -> Tensor:
    """(1, C, 1, 1)"""
    bias = cast(Tensor | None, layer.bias)
    return output.new_zeros(1) if bias is None else bias.view(1, -1, *[1] * (output.ndim - 2))


@contextmanager
def _hooked(layer: nn.Module, hook: Any) -> Iterator[None]:
    handle = layer.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
