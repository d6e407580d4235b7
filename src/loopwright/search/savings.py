"""What a choice saves elsewhere: what a layer no longer reads, its producer need not compute.

A layer that stays untouched computes less where the one that reads it takes an operator that reads less; the network
computes the same function. `loopwright.search.shrinking` delivers networks so; here is what the search has to know in
order to count it. It counts what one choice saves by itself in the layers that it reads: not what only several choices
save together, nor what a layer in between would pass on, for that one may change too.
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
    finder = _Finder(network, space)
    for reader, workload in space.layers.items():
        for choice in space.choices[workload]:
            if not _reads_all(choice):
                found += finder.made(reader, choice)
        advance()
    return tuple(found)


def _reads_all(choice: Choice) -> bool:
    form = choice.form
    return bool(channels_read(form, np.ones(form.result_shape[0], bool)).all())


class _Finder:
    def __init__(self, network: Network, space: SearchSpace):
        self._network, self._space = network, space
        self._untouched = live_channels(network, {}, through=False)
        self._left: dict[tuple[str, bytes], Choice | None] = {}

    def made(self, reader: str, choice: Choice) -> Iterator[Saving]:
        """The savings of one choice."""
        for layer, live in live_channels(self._network, {reader: choice.form}, through=False).items():
            if live.any() and not np.array_equal(live, self._untouched[layer]):
                left = self._left_of(self._space.layers[layer], live)
                if left is not None:
                    yield Saving(layer, reader, choice.key, left)

    def _left_of(self, workload: str, live: np.ndarray) -> Choice | None:
        """What is left of the untouched operator; None if nothing can be removed."""
        key = workload, live.tobytes()
        if key not in self._left:
            nest = parse(workload).nest()
            sequence = dead_removed(nest, live)
            self._left[key] = Choice.of(nest, sequence) if sequence.steps else None
        return self._left[key]
