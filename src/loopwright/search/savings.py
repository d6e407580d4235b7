"""What an operator saves elsewhere: channels that neither it nor anybody else reads need not be computed.

What is delivered is without them (`loopwright.search.shrinking`); the search has to know beforehand, or a layer that
reads a quarter of its input looks half as good as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from loopwright.ir.liveness import channels_read
from loopwright.models.liveness import live_channels, without_outputs
from loopwright.models.network import Network
from loopwright.search.shrinking import choice_of
from loopwright.search.space import Choice, SearchSpace


@dataclass(frozen=True)
class Saving:
    """Where ``layer`` has the operator ``key``, the untouched ``producer`` takes so many milliseconds less."""

    layer: str
    key: str
    producer: str
    ms: float


def savings(
    network: Network, space: SearchSpace, latencies_ms: Mapping[str, float], expected: Callable[[Choice], float]
) -> Iterator[Saving]:
    """All of a space whose untouched operators have ``latencies_ms``, by their keys. What a producer takes without what
    is not read is not timed: it takes the share of its latency that it is ``expected`` to."""
    for layer, workload in space.layers.items():
        _, *others = space.choices[workload]
        for choice in others:
            if channels_read(choice.form, np.ones(choice.form.result_shape[0], bool)).all():
                continue
            for producer, flags in live_channels(network, {layer: choice.form}).items():
                if producer == layer or producer not in space.layers or flags.all():
                    continue
                before = space.original(producer)
                after = choice_of(
                    space.layers[producer], without_outputs(space.layers[producer], before.sequence, flags.tobytes())
                )
                ms = latencies_ms[before.key] * (1 - expected(after) / expected(before))
                if ms > 0:
                    yield Saving(layer, choice.key, producer, ms)
