"""What is delivered of a judged candidate: the same network without what no layer of it reads any more.

The verdict holds for both. They compute the same function with the same weights, and an output that nobody reads has no
gradient, so it adds nothing to the Fisher Potential.
"""

from __future__ import annotations

from collections.abc import Mapping

from loopwright.models.liveness import without_dead
from loopwright.models.network import Network
from loopwright.search.space import Choice, SearchSpace
from loopwright.search.timing import OperatorLatencies


def left(network: Network, judged: Mapping[str, Choice]) -> dict[str, Choice]:
    """The operators of all changed layers once the dead outputs are gone; none for the original network."""
    sequences = without_dead(network, {layer: choice.sequence for layer, choice in judged.items()}) if judged else {}
    return {
        layer: judged[layer]
        if layer in judged and judged[layer].sequence == sequence
        else Choice.of(network.operator(layer).nest(), sequence)
        for layer, sequence in sequences.items()
    }


def shrunk(
    network: Network, space: SearchSpace, judged: Mapping[str, Choice], latencies: OperatorLatencies
) -> dict[str, Choice]:
    """What is `left`, but a layer of which that makes no faster operator stays as it was judged."""
    found = {}
    for layer, after in left(network, judged).items():
        before = judged.get(layer) or space.original(layer)
        if after is not before:
            before = min(before, after, key=lambda choice: latencies.of(choice).latency_ms)
        if before.sequence.steps:
            found[layer] = before
    return found


def saving(space: SearchSpace, judged: Mapping[str, Choice], delivered: Mapping[str, Choice]) -> str:
    """One line on the layers that were shrunk, and the multiply-accumulates for an image that they no longer do; empty
    if there are none."""
    before = {layer: judged.get(layer) or space.original(layer) for layer in delivered}
    layers = [layer for layer, choice in delivered.items() if choice is not before[layer]]
    if not layers:
        return ""
    macs = sum(before[layer].form.macs - delivered[layer].form.macs for layer in layers)
    subject = "1 layer no longer computes" if len(layers) == 1 else f"{len(layers)} layers no longer compute"
    return f"liveness: {subject} what nobody reads ({macs:,} MACs an image less)"
