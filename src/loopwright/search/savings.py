"""What a choice saves elsewhere: what a layer no longer reads, its producer need not compute.

A layer that stays untouched computes less where the one that reads it takes an operator that reads less; the network
computes the same function. `loopwright.search.shrinking` delivers networks so; here is what the search has to know in
order to count it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from loopwright.ir.liveness import channels_read
from loopwright.models.liveness import live_channels
from loopwright.models.network import Network
from loopwright.operators import parse
from loopwright.search.space import Choice, SearchSpace
from loopwright.transformations.shrinking import dead_removed


@dataclass(frozen=True, eq=False)
class Saving:
    """Where the layer ``reader`` takes the operator with the key ``taken``, ``operator`` is enough for ``layer``,
    which is otherwise untouched."""

    layer: str
    reader: str
    taken: str
    operator: Choice


def savings(network: Network, space: SearchSpace, advance: Callable[[], None] = lambda: None) -> tuple[Saving, ...]:
    """All savings that one choice of the space makes by itself; ``advance`` is called after each layer."""
    found: list[Saving] = []
    for reader, workload in space.layers.items():
        for choice in space.choices[workload]:
            if not _reads_all(choice):
                found += _made(network, space, reader, choice)
        advance()
    return tuple(found)


def _reads_all(choice: Choice) -> bool:
    form = choice.form
    return bool(channels_read(form, np.ones(form.result_shape[0], bool)).all())


def _made(network: Network, space: SearchSpace, reader: str, choice: Choice) -> Iterator[Saving]:
    for layer, live in live_channels(network, {reader: choice.form}).items():
        if layer == reader or live.all() or not live.any():
            continue
        nest = parse(space.layers[layer]).nest()
        sequence = dead_removed(nest, live)
        if sequence.steps:
            yield Saving(layer, reader, choice.key, Choice.of(nest, sequence))
