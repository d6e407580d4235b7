"""A compiled network against the PyTorch module that it was compiled from."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils import _pytree as pytree

from loopwright.errors import CompileError
from loopwright.models.network import Network

TOLERANCE = 1e-3
"""Largest difference between a compiled network's output and PyTorch's, relative to the largest output."""


def seeded_inputs(network: Network, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """Inputs of the traced shapes: drawn from the normal distribution, or where they are no floating-point numbers the
    traced example itself."""
    random = np.random.default_rng(seed)
    arguments, _ = network.program.example_inputs
    return tuple(_drawn(example, random) if example.is_floating_point() else example for example in arguments)


def _drawn(example: torch.Tensor, random: np.random.Generator) -> torch.Tensor:
    return torch.from_numpy(random.standard_normal(tuple(example.shape))).to(example.dtype)


def require_agreement(network: Network, module: nn.Module, compiled: Callable[..., Any]) -> float:
    """The largest difference on `seeded_inputs`, relative to the largest output of its tensor.

    ``compiled`` takes tensors and gives the outputs nested in any way. Raises `CompileError` above `TOLERANCE`.
    """
    inputs = seeded_inputs(network)
    with torch.no_grad():
        expected = copy.deepcopy(module).eval()(*inputs)
    error = largest_difference(pytree.tree_leaves(expected), pytree.tree_leaves(compiled(*inputs)))
    if not error <= TOLERANCE:
        raise CompileError(
            f"the compiled {network.name} differs from PyTorch by {error:.1e} of its largest output (at most "
            f"{TOLERANCE:.0e} is expected); please report this with the command that you ran"
        )
    return error


def largest_difference(expected: Sequence[torch.Tensor], outputs: Sequence[Any]) -> float:
    """Over all outputs, relative to the largest expected value of each; infinite where their number, shapes or types
    differ, NaN where a value is none."""
    if len(expected) != len(outputs):
        return float("inf")
    pairs = [(want.numpy(), np.asarray(got)) for want, got in zip(expected, outputs, strict=True)]
    return max((_difference(want, got) for want, got in pairs), default=0.0)


def _difference(want: np.ndarray, got: np.ndarray) -> float:
    if want.shape != got.shape or want.dtype != got.dtype:
        return float("inf")
    want, got = want.astype("float64"), got.astype("float64")
    same = want == got  # infinities among them
    difference = np.abs(np.where(same, 0, want) - np.where(same, 0, got)).max(initial=0.0)
    return float(difference / max(np.abs(want[np.isfinite(want)]).max(initial=0.0), 1e-6))
