"""Trained weights out of a file, and into a network. Nothing is unpickled but tensors."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from loopwright.errors import ArgumentError
from loopwright.models.usercode import first_line

State = Mapping[str, Tensor]

HOLDERS = ("state_dict", "model_state_dict", "model", "net", "module")
"""Under which of these keys checkpoints of other programs keep the weights."""
WRAPPERS = ("module.", "_orig_mod.")
"""What PyTorch's own wrappers put before every name."""
COUNTER = "num_batches_tracked"
"""A buffer of batch norms that old checkpoints lack."""


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, or of a file that ``torch.save`` wrote of a state or of a dictionary that
    holds one, by their names in the network; `ArgumentError` for any other file."""
    if not path.is_file():
        raise ArgumentError(f"there is no file {path} of weights")
    try:
        found = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except (OSError, SafetensorError, RuntimeError, ValueError, EOFError, KeyError) as error:
        raise ArgumentError(f"{path} is damaged, or no file of weights: {first_line(error)}") from error
    except pickle.UnpicklingError as error:
        raise ArgumentError(f"{path} holds more than tensors; save the network's state_dict()") from error
    state = _held(found)
    if state is None:
        raise ArgumentError(f"{path} holds no state of a network; save the network's state_dict()")
    return _unwrapped(state)


def load_state(module: nn.Module, state: State, source: Path | str) -> None:
    """Gives ``module`` the weights of ``source``.

    Raises `ArgumentError`, naming the first name or shape that differs, and leaves the module as it was, where they are
    those of another network.
    """
    own = module.state_dict()
    difference = _difference(own, state)
    if difference:
        raise ArgumentError(f"{source} does not fit the network: {difference}")
    module.load_state_dict({name: state.get(name, tensor) for name, tensor in own.items()})


def _difference(own: State, state: State) -> str:
    for name, tensor in own.items():
        if name not in state:
            if name.endswith(COUNTER):
                continue
            return f"it has no {name!r} {_shape(tensor)}"
        if state[name].shape != tensor.shape:
            return f"its {name!r} is {_shape(state[name])}, the network's {_shape(tensor)}"
    unexpected = next((name for name in state if name not in own), None)
    return "" if unexpected is None else f"the network has no {unexpected!r} {_shape(state[unexpected])}"


def _held(found: Any) -> dict[str, Tensor] | None:
    """The state in what a file holds."""
    if not isinstance(found, Mapping):
        return None
    if found and all(isinstance(name, str) and isinstance(own, Tensor) for name, own in found.items()):
        return dict(found)
    return next((state for key in HOLDERS if key in found and (state := _held(found[key])) is not None), None)


def _unwrapped(state: dict[str, Tensor]) -> dict[str, Tensor]:
    for wrapper in WRAPPERS:
        if all(name.startswith(wrapper) for name in state):
            return _unwrapped({name.removeprefix(wrapper): tensor for name, tensor in state.items()})
    return state


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"
