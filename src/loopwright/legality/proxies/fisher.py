"""Fisher Potential: Turner et al. (ASPLOS 2021), equations 4 and 5.

For channel c of a convolution's output A (N, C, H, W), with g the gradient of the loss in A,

    Delta_c = 1/(2N) * sum_n (sum_ij A_ncij * g_ncij)^2

and a network's potential is the sum over the channels of every convolution, then over the convolutions. The loss is the
cross-entropy averaged over the minibatch, so g carries a factor 1/N and scores compare at equal N only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from loopwright.errors import ArgumentError, DataError
from loopwright.models.images import Minibatch
from loopwright.models.seeding import seeded


@dataclass(frozen=True, eq=False)
class FisherPotential:
    """``channels`` holds for every convolution, in order of first use, the potential of each of its output channels."""

    channels: Mapping[str, np.ndarray]

    @property
    def layers(self) -> dict[str, float]:
        """The potential of each convolution."""
        return {name: float(values.sum()) for name, values in self.channels.items()}

    @property
    def total(self) -> float:
        """The potential of the network."""
        return float(sum(self.layers.values()))


def convolutions(module: nn.Module) -> tuple[str, ...]:
    """Names of all two-dimensional convolutions of a network."""
    return tuple(name for name, child in module.named_modules() if isinstance(child, nn.Conv2d))


def fisher_potential(module: nn.Module, layers: Iterable[str], minibatch: Minibatch) -> FisherPotential:
    """Scores ``module``, a classifier (N, C, H, W) -> (N, classes), at the outputs of the submodules ``layers``.

    Batch norms use the statistics of the minibatch, all else is in evaluation mode. The module is left bit for bit as
    it was, and so is the random state. Raises `ArgumentError` if the network gives no class scores, `DataError` if a
    label exceeds its classes.
    """
    names = tuple(layers)
    scores, overwritten = _score(module, names, minibatch, copy=False)
    if overwritten:
        scores, _ = _score(module, names, minibatch, copy=True)
    return FisherPotential({name: values.double().cpu().numpy() for name, values in scores.items()})


def _score(
    module: nn.Module, names: tuple[str, ...], minibatch: Minibatch, copy: bool
) -> tuple[dict[str, torch.Tensor], bool]:
    """Per-channel scores, and whether an output was overwritten in place before its gradient arrived (the scores are
    then wrong; ``copy`` keeps the outputs apart)."""
    taps = {name: _Tap(copy) for name in names}
    state = {name: parameter.detach() for name, parameter in module.named_parameters()}
    state |= {name: buffer.clone() for name, buffer in module.named_buffers()}
    device = next(iter(state.values())).device
    images, labels = (torch.from_numpy(array).to(device) for array in (minibatch.images, minibatch.labels))
    with _scoring_mode(module), _hooked(module, taps), seeded(0), torch.enable_grad():
        logits = functional_call(module, state, (images,))
        _loss(logits, labels).backward()
    scores = {name: tap.score for name, tap in taps.items() if tap.score is not None}
    return scores, any(tap.overwritten for tap in taps.values())


class _Tap:
    """A forward hook that scores a convolution's output as soon as its gradient is known."""

    def __init__(self, copy: bool):
        self.copy = copy
        self.score: torch.Tensor | None = None
        self.overwritten = False

    def __call__(self, _module: nn.Module, _inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        if not output.requires_grad:
            output = output.detach().requires_grad_()
        output.register_hook(self._scorer(output.detach()))
        return output.clone() if self.copy or output.is_leaf else output

    def _scorer(self, activation: torch.Tensor) -> Callable[[torch.Tensor], None]:
        version = activation._version

        def add_score(gradient: torch.Tensor) -> None:
            self.overwritten |= activation._version != version
            score = channel_scores(activation, gradient)
            self.score = score if self.score is None else self.score + score

        return add_score


def channel_scores(activation: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Equation 4: Delta_c (C,) from an activation (N, C, H, W) and the gradient of the loss in it."""
    per_image = (activation * gradient).sum((2, 3), dtype=torch.float32)
    return per_image.square().sum(0) / (2 * len(activation))


def _loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    if not isinstance(logits, torch.Tensor) or logits.ndim != 2:
        shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise ArgumentError(f"the network returns {shape}; Fisher Potential needs class scores of shape (N, classes)")
    if int(labels.max()) >= logits.shape[1]:
        raise DataError(f"the images have label {int(labels.max())}, the network only {logits.shape[1]} classes")
    return functional.cross_entropy(logits.float(), labels)


@contextmanager
def _hooked(module: nn.Module, taps: Mapping[str, _Tap]) -> Iterator[None]:
    handles = [module.get_submodule(name).register_forward_hook(tap) for name, tap in taps.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _scoring_mode(module: nn.Module) -> Iterator[None]:
    modes = {child: child.training for child in module.modules()}
    for child in modes:
        child.training = isinstance(child, _BatchNorm)
    try:
        yield
    finally:
        for child, training in modes.items():
            child.training = training
