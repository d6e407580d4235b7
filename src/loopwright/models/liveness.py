"""Liveness across layers: what no consumer reads any more, its producer need not compute.

The channels that are read go backwards through the traced graph, from the network's outputs to its input: through each
layer by the exact accesses of its operator, through all else as `models.channels` says. A producer then loses its dead
channels by steps of the algebra. The network computes the same function as before, with the same weights where they
are left: shapes never change, and what stands in for a dead output is read by nobody.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

import numpy as np
from torch import fx

from loopwright.ir.contraction import OperatorForm, operator_form
from loopwright.ir.liveness import channels_read
from loopwright.models.channels import channels, reads, reads_all
from loopwright.models.network import Network
from loopwright.operators import Operator
from loopwright.transformations import TransformationSequence
from loopwright.transformations.shrinking import dead_removed


def without_dead(
    network: Network, sequences: Mapping[str, TransformationSequence]
) -> dict[str, TransformationSequence]:
    """Of every layer that is changed by ``sequences`` or shrinks by them, its sequence: the one given, and after it the
    steps that remove what nobody reads. In the network's order."""
    given = {layer.name: sequences.get(layer.name, TransformationSequence()) for layer in network.transformable}
    nests = {name: sequence.apply(_operator(network, name).nest()) for name, sequence in given.items()}
    live = live_channels(network, {name: operator_form(nests[name]) for name in sequences})
    removed = {name: dead_removed(nests[name], flags) for name, flags in live.items()}
    whole = {name: sequence + removed.get(name, TransformationSequence()) for name, sequence in given.items()}
    return {name: sequence for name, sequence in whole.items() if sequence.steps}


def live_channels(
    network: Network, forms: Mapping[str, OperatorForm], *, through: bool = True
) -> dict[str, np.ndarray]:
    """For each transformable layer, flags for those channels of its output that the network's outputs depend on;
    ``forms`` gives the operators of the changed layers. Without ``through``, a layer of which not all outputs are live
    still counts as reading all that it can read, so that what lies before it does not depend on what it becomes.
    Layers of which the operator's first axis is not what the traced graph counts as channels are left out."""
    known = _forms_by_node(network, forms)
    live: dict[fx.Node, np.ndarray] = {}
    for node in reversed(network.program.graph.nodes):
        form, flags = known.get(node.name), live.get(node)
        if form is not None and not through:
            flags = np.ones(channels(node), bool)
        for operand, read in _reads(node, flags, form):
            live[operand] = live[operand] | read if operand in live else read
    found = {node.name: flags for node, flags in live.items()}
    layers = [layer for layer in network.transformable if layer.node in known]
    return {layer.name: found.get(layer.node, np.zeros(layer.output_shape[1], bool)) for layer in layers}


def _reads(node: fx.Node, live: np.ndarray | None, form: OperatorForm | None) -> Iterator[tuple[fx.Node, np.ndarray]]:
    if node.op == "output":
        return reads_all(node)
    if node.op != "call_function":
        return iter(())
    live = np.zeros(channels(node), bool) if live is None else live
    return reads(node, live) if form is None else _layer_reads(node, form, live)


def _layer_reads(node: fx.Node, form: OperatorForm, live: np.ndarray) -> Iterator[tuple[fx.Node, np.ndarray]]:
    images, *others = node.all_input_nodes
    yield images, _read(form, live.tobytes())
    yield from ((other, np.ones(channels(other), bool)) for other in others)


@lru_cache(maxsize=4096)
def _read(form: OperatorForm, live: bytes) -> np.ndarray:
    """Most layers are the same in every candidate."""
    found = channels_read(form, np.frombuffer(live, bool))
    found.setflags(write=False)
    return found


def _forms_by_node(network: Network, forms: Mapping[str, OperatorForm]) -> dict[str, OperatorForm]:
    """The forms of all layers that have an operator, where their first axes are the channels of input and output."""
    operators = {layer: layer.operator for layer in network.layers if layer.operator is not None}
    found = {layer: forms.get(layer.name) or _untouched(operator) for layer, operator in operators.items()}
    return {
        layer.node: form
        for layer, form in found.items()
        if layer.input_shape[1:] == form.input_shape and layer.output_shape[1:] == form.result_shape
    }


@lru_cache(maxsize=1024)
def _untouched(operator: Operator) -> OperatorForm:
    return operator_form(operator.nest())


def _operator(network: Network, name: str) -> Operator:
    operator = network.transformable_layer(name).operator
    assert operator is not None
    return operator
