"""What is trained: a network that was named or handed over, or the changed one of a result folder."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import torch
from torch import nn

from loopwright.errors import ArgumentError
from loopwright.lowering.settling import inherited
from loopwright.models.given import GivenNetwork
from loopwright.models.network import Network
from loopwright.models.weights import load_state
from loopwright.search.deliver import NetworkSpec, load, load_with_network, read_spec, read_weights, with_weights
from loopwright.training.images import Images, normalised

SETTLED_ON, SETTLED_BATCH = 512, 128
"""Training images that inherited weights are settled on, and how many of them at once."""


@dataclass(frozen=True, eq=False)
class Subject:
    """``module`` is trained. ``original`` is the network without changes, and ``network`` the same traced, where layers
    are changed."""

    spec: NetworkSpec
    module: nn.Module
    original: nn.Module
    network: Network | None = None

    @classmethod
    def of_folder(cls, folder: Path, original: nn.Module | None) -> Subject:
        """What `optimize` or a training wrote, with its weights; `ArgumentError` where there is no such result."""
        network, module = load_with_network(folder, original)
        return cls(read_spec(folder), module, network.module, network)

    @classmethod
    def of_model(cls, model: str | nn.Module, example_input: torch.Tensor | Sequence[int] | None, seed: int) -> Subject:
        """As `GivenNetwork.of` takes them; a module stays as it is."""
        given = GivenNetwork.of(model, example_input, seed)
        spec = NetworkSpec(model if isinstance(model, str) else "", given.input_shape, {})
        return cls(spec, copy.deepcopy(given.module), given.module)

    @property
    def structure(self) -> str:
        """The SHA-256 of all but the weights."""
        shapes = {name: tuple(tensor.shape) for name, tensor in self.module.state_dict().items()}
        layers = {name: (layer.operator, layer.sequence) for name, layer in self.spec.layers.items()}
        return sha256(f"{self.module!r} {shapes} {layers}".encode()).hexdigest()

    def with_weights(self, path: Path, train: Images) -> Subject:
        """With the weights in ``path``: those of this network, or those that it inherits from the original's.

        Raises `ArgumentError` where they are of neither.
        """
        state = read_weights(path)
        if self.network is None or not self.spec.layers or state.keys() == self.module.state_dict().keys():
            load_state(self.module, state, path)
            return self
        trained = copy.deepcopy(self.original)
        load_state(trained, state, path)
        forms = {name: layer.form for name, layer in self.spec.layers.items()}
        return replace(self, module=inherited(self.network, trained, forms, _batches(train)))

    def teacher(self, path: Path) -> nn.Module:
        """The network in a result folder, or the original with the weights in a file; `ArgumentError` for others."""
        if not path.is_dir():
            return with_weights(self.original, path)
        module = self.original if not read_spec(path).model else None
        return load(path, module)


def require_folder_without_input(example_input: object, out: Path | None) -> None:
    """Raises `ArgumentError` for what a result folder says itself."""
    if example_input is not None:
        raise ArgumentError("the folder says what the network's input is; leave out the example input (--input)")
    if out is not None:
        raise ArgumentError("the weights are put back into the folder; leave out --out")


def _batches(train: Images) -> list[torch.Tensor]:
    images = Images(train.pixels[:SETTLED_ON].cpu(), train.labels[:SETTLED_ON].cpu(), train.normalisation)
    return [
        normalised(images.part(start, start + SETTLED_BATCH), torch.float32).contiguous()
        for start in range(0, len(images), SETTLED_BATCH)
    ]
