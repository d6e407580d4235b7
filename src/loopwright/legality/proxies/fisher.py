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
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from loopwright.errors import ArgumentError
from loopwright.legality.proxies._base import Proxy
from loopwright.legality.proxies._passes import constants, cross_entropy, run, scoring, tensors
from loopwright.legality.proxies._sparing import sparingly
from loopwright.models.images import Minibatch

TITLE = "Fisher Potential"


@dataclass(frozen=True)
class Fisher(Proxy):
    """Scores at the outputs of the submodules ``layers``; without them, of all convolutions."""

    name: ClassVar[str] = "fisher"
    title: ClassVar[str] = TITLE
    paper: ClassVar[str] = (
        "Turner, Crowley, O'Boyle: Neural Architecture Search as Program Transformation Exploration (ASPLOS 2021), "
        "equations 4 and 5"
    )

    layers: tuple[str, ...] | None = None

    def score(self, module: nn.Module, minibatch: Minibatch) -> float:
        layers = convolutions(module) if self.layers is None else self.layers
        return fisher_potential(module, layers, minibatch).total


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
    """Names of all two-dimensional convolutions of a network, and of the operators that stand for one: modules with a
    true attribute ``stands_for_convolution``."""
    found: list[str] = []
    for name, child in module.named_modules():
        whole = isinstance(child, nn.Conv2d) or getattr(child, "stands_for_convolution", False)
        if whole and not any(name.startswith(f"{outer}.") for outer in found):
            found.append(name)
    return tuple(found)


def fisher_potential(module: nn.Module, layers: Iterable[str], minibatch: Minibatch) -> FisherPotential:
    """Scores ``module``, a classifier (N, C, H, W) -> (N, classes), at the outputs of the submodules ``layers``.

    Batch norms use the statistics of the minibatch, all else is in evaluation mode. The module is left bit for bit as
    it was, and so is the random state. Raises `ArgumentError` if the network gives no class scores or there is no layer
    to score, `DataError` if an image or a label is unusable.
    """
    return fisher_with_gradients(module, layers, minibatch, {})


def fisher_with_gradients(
    module: nn.Module, layers: Iterable[str], minibatch: Minibatch, leaves: Mapping[str, torch.Tensor]
) -> FisherPotential:
    """The same; ``leaves`` take the place of parameters and get the gradient of the loss."""
    names = tuple(layers)
    if not names:
        raise ArgumentError(f"the network has no two-dimensional convolution; {TITLE} is a sum over them")
    scores, overwritten = _score(module, names, minibatch, leaves, copy=False)
    if overwritten:
        for leaf in leaves.values():
            leaf.grad = None
        scores, _ = _score(module, names, minibatch, leaves, copy=True)
    return FisherPotential({name: values.double().cpu().numpy() for name, values in scores.items()})


def _score(
    module: nn.Module, names: tuple[str, ...], minibatch: Minibatch, leaves: Mapping[str, torch.Tensor], copy: bool
) -> tuple[dict[str, torch.Tensor], bool]:
    """Per-channel scores, and whether an output was overwritten in place before its gradient arrived (the scores are
    then wrong; ``copy`` keeps the outputs apart)."""
    taps = {name: _Tap(copy) for name in names}
    images, labels = tensors(module, minibatch, TITLE)

    def forward() -> torch.Tensor:
        for tap in taps.values():
            tap.forget()
        return cross_entropy(run(module, {**constants(module), **leaves}, images), labels, TITLE)

    with scoring(module), _hooked(module, taps):
        loss = sparingly(forward)
        if loss.requires_grad:
            loss.backward()
    scores = {name: tap.score for name, tap in taps.items() if tap.score is not None}
    return scores, any(tap.overwritten for tap in taps.values())


class _Tap:
    """A forward hook that scores a convolution's output as soon as its gradient is known; without one it scores 0."""

    def __init__(self, copy: bool):
        self.copy = copy
        self.forget()

    def forget(self) -> None:
        """What it has seen; another pass begins."""
        self.overwritten = False
        self._scores: list[torch.Tensor] = []

    @property
    def score(self) -> torch.Tensor | None:
        """Summed over all calls of the convolution; none if it was never called."""
        return torch.stack(self._scores).sum(0) if self._scores else None

    def __call__(self, _module: nn.Module, _inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        if not output.requires_grad:
            output = output.detach().requires_grad_()
        self._scores.append(output.new_zeros(output.shape[1], dtype=torch.float32))
        output.register_hook(self._scorer(output.detach()))
        return output.clone() if self.copy or output.is_leaf else output

    def _scorer(self, activation: torch.Tensor) -> Callable[[torch.Tensor], None]:
        version = activation._version

        def add_score(gradient: torch.Tensor) -> None:
            self.overwritten |= activation._version != version
            self._scores.append(channel_scores(activation, gradient))

        return add_score


def channel_scores(activation: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Equation 4: Delta_c (C,) from an activation (N, C, H, W) and the gradient of the loss in it."""
    per_image = (activation * gradient).sum((2, 3), dtype=torch.float32)
    return per_image.square().sum(0) / (2 * len(activation))


@contextmanager
def _hooked(module: nn.Module, taps: Mapping[str, _Tap]) -> Iterator[None]:
    handles = [module.get_submodule(name).register_forward_hook(tap) for name, tap in taps.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
