"""A traced network: its layers in the order in which they are called, and which of them compute the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loopwright.errors import ArgumentError

if TYPE_CHECKING:
    from torch import nn
    from torch.export import ExportedProgram

    from loopwright.operators import Operator

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """One call in the network.

    ``name`` is the module's name (``layer1.0.conv1``), followed by the call's name in the graph where no module of its
    own makes the call. Shapes include the batch: (N, C, H, W). ``operator`` is there for every call that loop nests can
    express; ``reason`` says why the search can't transform a layer and is empty if it can.
    """

    name: str
    kind: str
    node: str
    input_shapes: tuple[Shape, ...]
    output_shape: Shape
    macs: int
    parameters: int
    operator: Operator | None = None
    reason: str = ""

    @property
    def transformable(self) -> bool:
        return not self.reason

    @property
    def input_shape(self) -> Shape:
        """The shape of the first tensor that the layer reads; empty if it reads none."""
        return self.input_shapes[0] if self.input_shapes else ()


@dataclass(frozen=True, eq=False)
class Network:
    """A module as it was traced in evaluation mode; ``input_shape`` (N, C, H, W) is that of its first input.

    ``program`` is the trace; a layer's ``node`` names its call there, and ``weights`` the weight of each transformable
    layer.
    """

    name: str
    module: nn.Module
    input_shape: Shape
    program: ExportedProgram
    layers: tuple[Layer, ...]
    weights: Mapping[str, str]

    @property
    def transformable(self) -> tuple[Layer, ...]:
        """The layers that transformations apply to, in order."""
        return tuple(layer for layer in self.layers if layer.transformable)

    @property
    def workloads(self) -> dict[str, list[str]]:
        """The text of each operator -> the names of the transformable layers that compute it, both in order."""
        workloads: dict[str, list[str]] = {}
        for layer in self.transformable:
            workloads.setdefault(str(layer.operator), []).append(layer.name)
        return workloads

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one forward pass with the traced batch: convolutions and matrix products."""
        return sum(layer.macs for layer in self.layers)

    @property
    def parameters(self) -> int:
        """Elements of all parameters of the module, those of batch norms and linear layers included."""
        return sum(parameter.numel() for parameter in self.module.parameters())

    def layer(self, name: str) -> Layer:
        """The layer of that name.

        Raises ArgumentError naming the transformable layers if there is none.
        """
        for layer in self.layers:
            if layer.name == name:
                return layer
        known = ", ".join(layer.name for layer in self.transformable)
        raise ArgumentError(f"unknown layer {name!r} of {self.name}; its transformable layers: {known}")

    def operator(self, name: str) -> Operator:
        """What the layer of that name computes; ArgumentError with the reason if loop nests can't express it."""
        layer = self.layer(name)
        if layer.operator is None:
            raise ArgumentError(f"layer {name!r} has no loop nest: {layer.reason}")
        return layer.operator

    def transformable_layer(self, name: str) -> Layer:
        """The transformable layer of that name; ArgumentError with the reason if it can't be transformed."""
        layer = self.layer(name)
        if not layer.transformable:
            raise ArgumentError(f"layer {name!r} can't be transformed: {layer.reason}")
        return layer
