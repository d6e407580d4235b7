"""What reads what in a traced network, position by position: the graph on which receptive fields are computed."""

from __future__ import annotations

from dataclasses import dataclass

from torch import fx

from loopwright.models.footprint import Footprint, Size
from loopwright.models.network import Network
from loopwright.models.reads import footprint, is_pointwise, size


@dataclass(frozen=True, eq=False)
class Step:
    """One operation: reads ``inputs`` (names of other steps) and has ``size`` (height, width) positions.

    The size is (1, 1) where the tensor has no positions.
    With a ``footprint`` it reads windows, otherwise if ``pointwise`` only its own position, otherwise everything.
    ``layer`` names the network's layer where the step is one.
    """

    name: str
    inputs: tuple[str, ...]
    size: Size
    footprint: Footprint | None = None
    pointwise: bool = False
    layer: str = ""

    @property
    def spatial(self) -> bool:
        """Whether there are several positions to tell apart."""
        return self.size != (1, 1)


@dataclass(frozen=True, eq=False)
class Dataflow:
    """The steps in the order of execution; the first one is the network's input; ``outputs`` names what it returns."""

    steps: tuple[Step, ...]
    outputs: tuple[str, ...]

    @property
    def input(self) -> Step:
        """The network's input."""
        return self.steps[0]

    def boundary(self) -> tuple[str, ...]:
        """The last steps with spatial extent: outputs, and inputs of steps after which no position is left."""
        spatial_after = self._spatial_after()
        sizes = {step.name: step.size for step in self.steps}
        last = {name for name in self.outputs if sizes[name] != (1, 1)}
        for step in self.steps:
            if not step.spatial and step.name not in spatial_after:
                last.update(name for name in step.inputs if sizes[name] != (1, 1))
        return tuple(step.name for step in self.steps if step.name in last)

    def _spatial_after(self) -> set[str]:
        """The steps on which a step with spatial extent depends."""
        found: set[str] = set()
        for step in reversed(self.steps):
            if step.spatial or step.name in found:
                found.update(step.inputs)
        return found


def dataflow(network: Network) -> Dataflow:
    """The dataflow of a network, its convolutions as they were traced."""
    layers = {layer.node: layer.name for layer in network.layers}
    inputs = network.program.graph_signature.user_inputs
    steps: dict[str, Step] = {}
    for node in network.program.graph.nodes:
        if node.name in inputs:
            steps[node.name] = Step(node.name, (), size(node))
        elif node.op == "call_function":
            read = tuple(arg.name for arg in node.all_input_nodes if arg.name in steps)
            if read:
                steps[node.name] = _step(node, read, steps, layers.get(node.name, ""))
    outputs = network.program.graph_signature.user_outputs
    return Dataflow(tuple(steps.values()), tuple(name for name in outputs if name in steps))


def _step(node: fx.Node, read: tuple[str, ...], steps: dict[str, Step], layer: str) -> Step:
    windows = footprint(node)
    if windows is not None:
        return Step(node.name, read[:1], size(node), windows, layer=layer)
    broadcasts = all(_broadcasts(steps[name].size, size(node)) for name in read)
    return Step(node.name, read, size(node), pointwise=broadcasts and is_pointwise(node), layer=layer)


def _broadcasts(read: Size, written: Size) -> bool:
    return all(a in (1, b) for a, b in zip(read, written, strict=True))
