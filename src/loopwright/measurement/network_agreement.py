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
from loopwright.measurement import tolerances
from loopwright.models.images import MODES, load_minibatch
from loopwright.models.network import Network
from loopwright.targets.target import FLOAT32, Target

Inputs = tuple[torch.Tensor, ...]
SAMPLE_IMAGES = 64


def tolerance_of(target: Target) -> float:
    """What a network on a target may differ by."""
    return tolerances.NETWORK[target.precision]


def seeded_inputs(network: Network, seed: int = 0) -> Inputs:
    """Inputs of the traced shapes: drawn from the normal distribution, or where they are no floating-point numbers the
    traced example itself."""
    random = np.random.default_rng(seed)
    arguments, _ = network.program.example_inputs
    return tuple(_drawn(example, random) if example.is_floating_point() else example for example in arguments)


def _drawn(example: torch.Tensor, random: np.random.Generator) -> torch.Tensor:
    return torch.from_numpy(random.standard_normal(tuple(example.shape))).to(example.dtype)


def compared_inputs(network: Network) -> list[Inputs]:
    """What two forms of a network are compared on: `seeded_inputs`, and where it takes images some of the packaged
    sample."""
    inputs = [seeded_inputs(network)]
    [first, *others] = inputs[0]
    if not others and first.ndim == 4 and first.dtype == torch.float32 and first.shape[1] in MODES:
        images, *shape = first.shape
        sample = load_minibatch(None, min(images, SAMPLE_IMAGES), 0, (1, *shape)).images
        inputs.append((torch.from_numpy(np.resize(sample, (images, *shape))),))
    return inputs


def require_agreement(
    network: Network,
    module: nn.Module,
    run: Callable[..., Any],
    inputs: Sequence[Inputs] | None = None,
    *,
    what: str = "the compiled",
    tolerance: float = tolerances.NETWORK[FLOAT32],
) -> float:
    """The largest difference on ``inputs``, those of `compared_inputs` by default, relative to the largest output of
    its tensor.

    ``run`` takes tensors and gives the outputs nested in any way; ``what`` it is of the network is told. Raises
    `CompileError` above ``tolerance``.
    """
    error = greatest_difference(module, run, compared_inputs(network) if inputs is None else inputs)
    if not error <= tolerance:
        raise CompileError(
            f"{what} {network.name} differs from PyTorch by {error:.1e} of its largest output (at most "
            f"{tolerance:.0e} is expected); please report this with the command that you ran"
        )
    return error


def greatest_difference(module: nn.Module, run: Callable[..., Any], inputs: Sequence[Inputs]) -> float:
    """Of what ``run`` gives for the inputs from what ``module`` gives in evaluation mode, as `largest_difference`."""
    expected = copy.deepcopy(module).cpu().eval()
    error = 0.0
    for own in inputs:
        with torch.no_grad():
            wanted, found = (pytree.tree_leaves(compute(*own)) for compute in (expected, run))
        error = float(np.maximum(error, largest_difference(wanted, found)))  # NaN stays
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
