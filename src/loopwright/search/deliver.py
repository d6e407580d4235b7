"""A result on disk: a folder with the network's spec, its weights and the report, and how it is loaded again.

``network.json`` names the model, and the sequence of every changed layer; ``weights.safetensors`` holds the state of
the changed network. Nothing is pickled: the network is built from the spec and takes the weights.
"""

from __future__ import annotations

import copy
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from loopwright import __version__
from loopwright.errors import ArgumentError
from loopwright.files import write_atomically
from loopwright.ir.contraction import OperatorForm
from loopwright.lowering.transformed import transformed
from loopwright.models.network import Network
from loopwright.models.resolve import resolve
from loopwright.models.trace import trace
from loopwright.models.weights import load_state, read_state
from loopwright.operators import parse
from loopwright.search.run_folder import how_to_resume_training, is_in_training, require_finished
from loopwright.search.space import Choice
from loopwright.transformations import TransformationSequence

SPEC, WEIGHTS = "network.json", "weights.safetensors"
FORMAT = 1


@dataclass(frozen=True)
class ChangedLayer:
    """A layer's operator before, and the sequence that changed it."""

    operator: str
    sequence: str

    @property
    def choice(self) -> Choice:
        return Choice.of(parse(self.operator).nest(), TransformationSequence.parse(self.sequence))

    @property
    def form(self) -> OperatorForm:
        return self.choice.form


@dataclass(frozen=True)
class NetworkSpec:
    """A changed network as text. ``model`` is empty where the original was given as a module in Python."""

    model: str
    input_shape: tuple[int, ...]
    layers: dict[str, ChangedLayer]

    def to_json(self) -> str:
        """The content of ``network.json``."""
        return json.dumps({"format": FORMAT, "loopwright": __version__, **asdict(self)}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> NetworkSpec:
        """Raises `ArgumentError` for a text that is no spec, or one of a newer version."""
        try:
            spec: dict[str, Any] = json.loads(text)
            if spec["format"] > FORMAT:
                raise ArgumentError(
                    f"{SPEC} has format {spec['format']}, this version reads {FORMAT}; upgrade Loopwright"
                )
            layers = {name: ChangedLayer(**layer) for name, layer in spec["layers"].items()}
            return cls(spec["model"], tuple(spec["input_shape"]), layers)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ArgumentError(f"{SPEC} is damaged ({error}); optimize again into a new folder") from error


def save(folder: Path, spec: NetworkSpec, module: nn.Module) -> None:
    """Writes weights and spec; each replaces an older one at once."""
    state = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in module.state_dict().items()}
    write_atomically(folder / WEIGHTS, to_bytes(state))
    write_atomically(folder / SPEC, spec.to_json())


def load(folder: Path | str, module: nn.Module | None = None) -> nn.Module:
    """The changed network of a result folder, with its weights: a trainable PyTorch module, in training mode.

    ``module`` is the original network, needed where it was given to `optimize` as a module; it stays as it is. Raises
    `ArgumentError` for a folder that holds no result or a module that is not the original.
    """
    return load_with_network(folder, module)[1]


def load_with_network(folder: Path | str, module: nn.Module | None = None) -> tuple[Network, nn.Module]:
    """The original network as it was traced, and what `load` gives; both are what a compiler needs."""
    folder = Path(folder)
    network, changed = built(read_spec(folder), module)
    try:
        changed.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ArgumentError(f"{folder / WEIGHTS} does not fit {folder / SPEC}: {reason}") from error
    return network, changed.train()


def read_spec(folder: Path | str) -> NetworkSpec:
    """The spec of a result folder; raises `ArgumentError` for a folder that holds none, or none yet."""
    path = Path(folder) / SPEC
    require_finished(Path(folder))
    if not path.is_file():
        if is_in_training(Path(folder)):
            raise ArgumentError(
                f"the training in {folder} is not finished; go on with {how_to_resume_training(Path(folder))}"
            )
        raise ArgumentError(f"{folder} holds no {SPEC}; name the folder that optimize was given as --out")
    return NetworkSpec.from_json(path.read_text(encoding="utf-8"))


def read_weights(path: Path | str) -> dict[str, Tensor]:
    """The weights in a file, or in the folder of a result; `ArgumentError` where there are none."""
    path = Path(path)
    if not path.is_dir():
        return read_state(path)
    read_spec(path)
    return read_state(path / WEIGHTS)


def with_weights(module: nn.Module, path: Path | str) -> nn.Module:
    """A copy of ``module`` with the weights that `read_weights` reads; `ArgumentError` where they don't fit."""
    trained = copy.deepcopy(module)
    load_state(trained, read_weights(path), path)
    return trained


def built(spec: NetworkSpec, module: nn.Module | None = None, seed: int = 0) -> tuple[Network, nn.Module]:
    """The original network as it was traced, and the changed one, with what it inherits of the original's weights:
    those of ``module``, drawn from ``seed`` where there is none. `ArgumentError` as for `load`."""
    if module is None:
        if not spec.model:
            raise ArgumentError(
                "this network was optimized from a module in Python; pass the original as load(..., module=)"
            )
        module = resolve(spec.model, spec.input_shape).build(seed)
    network = trace(module, torch.zeros(spec.input_shape), spec.model or None)
    return network, transformed(network, {name: own.form for name, own in choices_of(network, spec).items()})


def choices_of(network: Network, spec: NetworkSpec) -> dict[str, Choice]:
    """What the spec makes of the layers of the original; `ArgumentError` if it was made for other layers."""
    for name, layer in spec.layers.items():
        found = network.transformable_layer(name)
        if str(found.operator) != layer.operator:
            raise ArgumentError(
                f"layer {name!r} of the original is {found.operator}, but {SPEC} was made for {layer.operator}"
            )
    return {name: layer.choice for name, layer in spec.layers.items()}
