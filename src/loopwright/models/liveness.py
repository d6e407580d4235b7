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
from loopwright.models.network import Layer, Network
from loopwright.models.reads import shape
from loopwright.operators import Operator
from loopwright.transformations import TransformationSequence
from loopwright.transformations.shrinking import dead_removed


def without_dead(
    network: Network, sequences: Mapping[str, TransformationSequence]
) -> dict[str, TransformationSequence]:
    """Of every layer that is changed by ``sequences`` or shrinks by them, its sequence: the one given, and after it the
    steps that remove what nobody reads. In the network's order."""
    nests = {
        layer.name: sequences.get(layer.name, TransformationSequence()).apply(layer.operator.nest())
        for layer in network.transformable
        if layer.operator is not None
    }
    live = live_channels(network, {name: operator_form(nests[name]) for name in sequences})
    whole = {
        name: sequences.get(name, TransformationSequence()) + dead_removed(nests[name], live[name]) for name in nests
    }
    return {name: sequence for name, sequence in whole.items() if sequence.steps}


def live_channels(network: Network, forms: Mapping[str, OperatorForm]) -> dict[str, np.ndarray]:
    """For each transformable layer, flags for those channels of its output that the network's outputs depend on;
    ``forms`` gives the operators of the changed layers."""
    layers = {layer.node: layer for layer in network.layers}
    live: dict[fx.Node, np.ndarray] = {}
    for node in reversed(network.program.graph.nodes):
        for operand, read in _reads(node, live.get(node), layers, forms):
            live[operand] = live[operand] | read if operand in live else read
    by_name = {node.name: flags for node, flags in live.items()}
    return {layer.name: by_name.get(layer.node, _none(layer)) for layer in network.transformable}


def _reads(
    node: fx.Node, live: np.ndarray | None, layers: Mapping[str, Layer], forms: Mapping[str, OperatorForm]
) -> Iterator[tuple[fx.Node, np.ndarray]]:
    if node.op == "output":
        return reads_all(node)
    if node.op != "call_function":
        return iter(())
    live = np.zeros(channels(node), bool) if live is None else live
    layer = layers.get(node.name)
    form = _form(layer, forms) if layer is not None else None
    return reads(node, live) if form is None or not _fits(node, form) else _layer_reads(node, form, live)


def _layer_reads(node: fx.Node, form: OperatorForm, live: np.ndarray) -> Iterator[tuple[fx.Node, np.ndarray]]:
    images, *others = node.all_input_nodes
    yield images, channels_read(form, live)
    yield from ((other, np.ones(channels(other), bool)) for other in others)


def _form(layer: Layer, forms: Mapping[str, OperatorForm]) -> OperatorForm | None:
    return forms.get(layer.name) or (None if layer.operator is None else _untouched(layer.operator))


@lru_cache(maxsize=1024)
def _untouched(operator: Operator) -> OperatorForm:
    return operator_form(operator.nest())


def _fits(node: fx.Node, form: OperatorForm) -> bool:
    """Whether the form's first axes are the channels of the call's input and output."""
    return shape(node)[1:] == form.result_shape and shape(node.all_input_nodes[0])[1:] == form.input_shape


def _none(layer: Layer) -> np.ndarray:
    return np.zeros(layer.output_shape[1], bool)
