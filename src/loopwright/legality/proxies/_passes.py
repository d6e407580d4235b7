"""Forward and backward passes that leave a network as it was; what all proxies are made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.backends import cudnn
from torch.func import functional_call
from torch.nn import functional
from torch.nn.modules.batchnorm import _NormBase

from loopwright.errors import ArgumentError, DataError
from loopwright.models.images import Minibatch
from loopwright.models.modes import evaluating
from loopwright.models.seeding import seeded

NORMALISATIONS = (_NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)


def tensors(module: nn.Module, minibatch: Minibatch, title: str, least: int = 2) -> tuple[Tensor, Tensor]:
    """Images (N, C, H, W) and labels (N,) of a minibatch as the module's device and type of numbers want them.

    Raises `DataError` if there are fewer than ``least`` images (batch norm takes its statistics from them) or one of
    them holds a NaN or an infinity, `ArgumentError` if the module has no parameters.
    """
    if len(minibatch) < least:
        raise DataError(f"{title} needs at least {least} images, not {len(minibatch)}: give a larger minibatch")
    if not np.isfinite(minibatch.images).all():
        broken = int(np.argmin(np.isfinite(minibatch.images).all((1, 2, 3))))
        raise DataError(f"image {broken} of the minibatch holds values that are no finite numbers: {minibatch.source}")
    like = first_parameter(module)
    return torch.from_numpy(minibatch.images).to(like), torch.from_numpy(minibatch.labels).to(like.device)


def first_parameter(module: nn.Module) -> Tensor:
    """A parameter, for its device and type; `ArgumentError` if there is none."""
    for parameter in module.parameters():
        return parameter.detach()
    raise ArgumentError("the network has no parameters: there is nothing to score")


def weights(module: nn.Module) -> list[str]:
    """Names of what convolutions and linear layers multiply by: all parameters but biases and those of normalisations.

    Raises `ArgumentError` if there are none.
    """
    kept = [
        f"{path}.{name}".lstrip(".")
        for path, child in module.named_modules()
        if not isinstance(child, NORMALISATIONS)
        for name, _ in child.named_parameters(recurse=False)
        if name != "bias"
    ]
    distinct = dict(module.named_parameters())
    kept = [name for name in kept if name in distinct]
    if not kept:
        raise ArgumentError("the network has no weights: there is nothing to score")
    return kept


def layer_of(weight: str) -> str:
    """The layer that a weight belongs to; one layer may hold its weights in several parameters."""
    return weight.rpartition(".")[0]


def buffers(module: nn.Module) -> dict[str, Tensor]:
    """Copies, to be written to in place of the module's own."""
    return {name: buffer.clone() for name, buffer in module.named_buffers()}


def constants(module: nn.Module) -> dict[str, Tensor]:
    """The module's parameters, no gradients asked for."""
    return {name: parameter.detach() for name, parameter in module.named_parameters()}


def run(module: nn.Module, parameters: Mapping[str, Tensor], images: Tensor) -> Tensor:
    """What the module gives with these parameters; its own buffers are not written to."""
    return functional_call(module, {**parameters, **buffers(module)}, (images,))


def gradients(of: Tensor, leaves: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The gradients of a scalar; zeros for what it does not depend on."""
    if not of.requires_grad:
        return {name: torch.zeros_like(leaf) for name, leaf in leaves.items()}
    return filled(leaves, torch.autograd.grad(of, list(leaves.values()), allow_unused=True))


def filled(leaves: Mapping[str, Tensor], found: Iterable[Tensor | None]) -> dict[str, Tensor]:
    """The gradients that were found, zeros for None, by the names of the leaves."""
    return {
        name: torch.zeros_like(leaf) if gradient is None else gradient
        for (name, leaf), gradient in zip(leaves.items(), found, strict=True)
    }


def weight_gradients(module: nn.Module, images: Tensor, labels: Tensor, title: str) -> dict[str, Tensor]:
    """The gradient of the cross-entropy in every one of `weights`."""
    leaves = {name: module.get_parameter(name).detach().requires_grad_() for name in weights(module)}
    with scoring(module):
        logits = run(module, {**constants(module), **leaves}, images)
        return gradients(cross_entropy(logits, labels, title), leaves)


def cross_entropy(logits: Tensor, labels: Tensor, title: str) -> Tensor:
    """The loss, averaged over the minibatch.

    Raises `ArgumentError` if these are no class scores, `DataError` if a label is none of the classes.
    """
    scores = class_scores(logits, title)
    _require_classes(scores, labels)
    return functional.cross_entropy(scores.float(), labels)


def require_usable(module: nn.Module, minibatch: Minibatch, title: str) -> None:
    """Raises `ArgumentError` or `DataError`, as `cross_entropy` and `tensors` do, unless images, labels and the network
    go together; for proxies that read only some of them."""
    images, labels = tensors(module, minibatch, title)
    with scoring(module), torch.no_grad():
        _require_classes(class_scores(run(module, constants(module), images), title), labels)


def _require_classes(scores: Tensor, labels: Tensor) -> None:
    low, high = int(labels.min()), int(labels.max())
    if high >= scores.shape[1]:
        raise DataError(f"the images have label {high}, the network only {scores.shape[1]} classes")
    if low < 0:
        raise DataError(f"the images have label {low}; labels count from 0")


def class_scores(logits: object, title: str) -> Tensor:
    """What the network gives, if it is (N, classes); `ArgumentError` otherwise."""
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ArgumentError(f"the network returns {shape}; {title} needs class scores of shape (N, classes)")
    return logits


@contextmanager
def scoring(module: nn.Module, batch_statistics: bool = True) -> Iterator[None]:
    """Inside, the module is in evaluation mode, but for batch norms with ``batch_statistics``, which normalise by what
    they see; random numbers start from 0; convolutions are computed in full float32, the same way every time."""
    with evaluating(module, batch_statistics), seeded(0, _devices(module)), _one_way(), torch.enable_grad():
        yield


def _devices(module: nn.Module) -> Iterable[torch.device]:
    return {parameter.device for parameter in module.parameters()}


@contextmanager
def _one_way() -> Iterator[None]:
    with cudnn.flags(enabled=cudnn.enabled, benchmark=False, deterministic=True, allow_tf32=False):
        yield
