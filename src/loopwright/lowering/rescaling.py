"""Outputs of inherited weights at the scale that the original's have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from loopwright.ir.contraction import OperatorForm
from loopwright.lowering.torch_module import OperatorModule
from loopwright.lowering.transformed import transformed
from loopwright.models.network import Network


@torch.no_grad()
def settle(module: nn.Module, original: nn.Module, batches: Sequence[Tensor]) -> None:
    """Fits ``module``, which has inherited the weights of the trained ``original``, to what its layers see now.

    The weights of every transformed operator are multiplied by one number, so that the operator's outputs for the first
    of ``batches`` (images (N, C, H, W)) have the mean square of the original layer's. Then the statistics of batch
    norms are taken anew over all of them. The original stays as it is.
    """
    operators = _operators(module)
    wanted = _scales(original, operators, batches[0])
    with _batch_statistics(module), ExitStack() as hooks:
        for path, operator in operators.items():
            hooks.enter_context(_hooked(operator, _Rescaling(operator, wanted[path])))
        module(batches[0])
    reestimate(module, batches)


@torch.no_grad()
def reestimate(module: nn.Module, batches: Iterable[Tensor]) -> None:
    """Sets the statistics of all batch norms to the means over ``batches``."""
    norms = [child for child in module.modules() if isinstance(child, _BatchNorm) and child.track_running_stats]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    with _batch_statistics(module):
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


class _Rescaling:
    """Multiplies an operator's weights, and the output of its first call, by what makes the output's mean square that
    of ``wanted``; a hook."""

    def __init__(self, operator: OperatorModule, wanted: Tensor):
        self._operator, self._wanted, self._called = operator, wanted, False

    def __call__(self, _module: nn.Module, _inputs: Any, output: Tensor) -> Tensor | None:
        if self._called:
            return None
        self._called = True
        bias = _bias(self._operator, output)
        factor = self._wanted / _mean_square(output - bias).sqrt()
        if not torch.isfinite(factor) or factor == 0:
            return None
        for name in self._operator.origins():
            self._operator.get_parameter(name).mul_(factor)
        return (output - bias) * factor + bias


def _operators(module: nn.Module) -> dict[str, OperatorModule]:
    """The transformed operators by their layers' names; a second stage belongs to its operator."""
    found: dict[str, OperatorModule] = {}
    for path, child in module.named_modules():
        if isinstance(child, OperatorModule) and path.rpartition(".")[0] not in found:
            found[path] = child
    return found


def _scales(original: nn.Module, layers: Iterable[str], images: Tensor) -> dict[str, Tensor]:
    """The root of the mean square of each layer's output at its first call, without the bias."""
    scales: dict[str, Tensor] = {}

    def take(path: str) -> Any:
        def hook(layer: nn.Module, _inputs: Any, output: Tensor) -> None:
            scales.setdefault(path, _mean_square(output - _bias(layer, output)).sqrt())

        return hook

    buffers = {name: buffer.clone() for name, buffer in original.named_buffers()}
    try:
        with _batch_statistics(original), ExitStack() as hooks:
            for path in layers:
                hooks.enter_context(_hooked(original.get_submodule(path), take(path)))
            original(images)
    finally:
        for name, buffer in original.named_buffers():
            buffer.copy_(buffers[name])
    return scales


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


@contextmanager
def _batch_statistics(module: nn.Module) -> Iterator[None]:
    """Inside, batch norms normalise by what they see; all else is in evaluation mode."""
    modes = {child: child.training for child in module.modules()}
    for child in modes:
        child.training = isinstance(child, _BatchNorm)
    try:
        yield
    finally:
        for child, training in modes.items():
            child.training = training
