"""A network as a user names it or hands it over, traced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from loopwright.errors import ArgumentError
from loopwright.models.network import Network
from loopwright.models.resolve import resolve
from loopwright.models.trace import trace


@dataclass(frozen=True, eq=False)
class GivenNetwork:
    """A module to be traced with an input of ``input_shape``."""

    name: str
    module: nn.Module
    input_shape: tuple[int, ...]

    @classmethod
    def of(cls, model: str | nn.Module, example_input: torch.Tensor | Sequence[int] | None, seed: int) -> GivenNetwork:
        """``model`` is a name that `resolve` knows, initialised with ``seed``, or a module, which needs an
        ``example_input`` or its shape; `ArgumentError` where it has none."""
        shape = tuple(example_input.shape if isinstance(example_input, torch.Tensor) else example_input or ())
        if isinstance(model, str):
            found = resolve(model, shape or None)
            return cls(found.name, found.build(seed), found.input_shape)
        if not shape:
            raise ArgumentError("a module needs an example input, as in optimize(module, torch.zeros(1, 3, 32, 32))")
        return cls(type(model).__name__, model, shape)

    def traced(self) -> Network:
        """The traced network; `ArgumentError` where it has no convolution that can be transformed."""
        network = trace(self.module, torch.zeros(self.input_shape), self.name)
        if not network.transformable:
            reasons = "; ".join(f"{layer.name}: {layer.reason}" for layer in network.layers[:3])
            raise ArgumentError(
                f"{network.name} has no convolution that can be transformed ({reasons or 'it has no layers'})"
            )
        return network
