"""A network as a user names it or hands it over, ready to be deployed: traced, with the weights that it runs with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from loopwright.errors import ArgumentError
from loopwright.models.network import Network
from loopwright.models.resolve import resolve
from loopwright.models.trace import trace
from loopwright.search.deliver import load_with_network, with_weights

ExampleInput = torch.Tensor | Sequence[int] | tuple[torch.Tensor, ...]


def prepared(
    model: str | Path | nn.Module,
    example_input: ExampleInput | None,
    seed: int,
    weights: Path | str | None = None,
) -> tuple[Network, nn.Module]:
    """The traced network, and the module with the weights to deploy, in which a folder's layers are changed.

    ``model`` is a module with an example input or its shape, a folder that `optimize` or `train` wrote, or a name,
    initialised from ``seed``. ``weights``, a file or a folder, are used instead of its own. Raises `LoopwrightError`.
    """
    network, module = _prepared(model, example_input, seed)
    return network, module if weights is None else with_weights(module, weights)


def _prepared(
    model: str | Path | nn.Module, example_input: ExampleInput | None, seed: int
) -> tuple[Network, nn.Module]:
    if isinstance(model, nn.Module):
        return trace(model, _example(example_input)), model
    if Path(model).is_dir():
        network, module = load_with_network(Path(model))
        return network if example_input is None else _of_shape(network, _example(example_input), model), module
    shape = None if example_input is None else tuple(_example(example_input)[0].shape)
    source = resolve(str(model), shape)
    network = trace(source.build(seed), torch.zeros(source.input_shape), source.name)
    return network, network.module


def _of_shape(network: Network, example: tuple[torch.Tensor, ...], folder: str | Path) -> Network:
    """A folder's network for as many images as the example has."""
    images, *shape = example[0].shape
    if len(example) > 1 or tuple(shape) != network.input_shape[1:]:
        wanted = "x".join(map(str, network.input_shape[1:]))
        raise ArgumentError(f"the network in {folder} takes images of {wanted}; only how many may be changed")
    return with_batch(network, images)


def with_batch(network: Network, images: int) -> Network:
    """The network traced again for ``images`` at once."""
    shape = (images, *network.input_shape[1:])
    return network if network.input_shape == shape else trace(network.module, torch.zeros(shape), network.name)


def _example(example_input: ExampleInput | None) -> tuple[torch.Tensor, ...]:
    if isinstance(example_input, torch.Tensor):
        return (example_input,)
    if not example_input:
        raise ArgumentError("a module needs an example input, as in compile(module, torch.zeros(1, 3, 224, 224))")
    if all(isinstance(value, torch.Tensor) for value in example_input):
        return tuple(example_input)  # type: ignore[arg-type]
    return (torch.zeros(tuple(example_input)),)  # type: ignore[arg-type]
