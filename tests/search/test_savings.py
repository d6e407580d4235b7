"""What an operator saves in other layers, as a search sees it."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch
from torch import nn

from loopwright.models.network import Network
from loopwright.models.trace import trace
from loopwright.search.pool import Pool
from loopwright.search.savings import Saving, savings
from loopwright.search.shrinking import shrunk
from loopwright.search.space import Choice, Limits, SearchSpace
from loopwright.transformations import TransformationSequence
from tests.search.test_shrinking import ByWork, choice


class Blocks(nn.Module):
    """Two convolutions one after the other, then one whose input others read as well."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.second, self.third = nn.Conv2d(16, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.second(torch.relu(self.norm(self.first(x))))
        return self.third(x) + x


@pytest.fixture
def network() -> Network:
    return trace(Blocks(), torch.zeros(1, 8, 8, 8))


def pool_of(network: Network, layer: str, *texts: str) -> Pool:
    """Latencies in proportion to the work."""
    drawn = SearchSpace.of(network.workloads, random.Random(0), Limits(operators=1))
    own = [choice(network, layer, text) for text in texts]
    workload = drawn.layers[layer]
    space = replace(drawn, choices={**drawn.choices, workload: (drawn.choices[workload][0], *own)})
    known = {found.key: float(found.form.macs) for all_ in space.choices.values() for found in all_}
    return Pool(space, known, tuple(savings(network, space, known, lambda own: float(own.form.macs))))


def test_what_is_not_read_is_saved_where_it_was_made(network: Network) -> None:
    pool = pool_of(network, "second", "bottleneck(ci, 4)", "bottleneck(co, 2)")
    half, other = pool.space.choices[pool.space.layers["second"]][1:]
    first = pool.space.original("first").form.macs
    assert pool.savings == (Saving("second", half.key, "first", pytest.approx(0.75 * first)),)
    whole = pool.latency_ms({})
    assert pool.latency_ms({"second": other}) == whole - other.form.macs
    assert whole - pool.latency_ms({"second": half}) == pytest.approx(0.75 * (first + 4 * half.form.macs))


def test_it_is_what_the_delivered_network_lacks(network: Network) -> None:
    pool = pool_of(network, "second", "bottleneck(ci, 2)")
    judged = {"second": pool.space.choices[pool.space.layers["second"]][1]}
    delivered = shrunk(network, pool.space, judged, ByWork())
    layers = [delivered.get(layer) or pool.space.original(layer) for layer in pool.space.layers]
    assert pool.latency_ms(judged) == pytest.approx(sum(own.form.macs for own in layers))


def test_a_changed_producer_saves_nothing_more(network: Network) -> None:
    pool = pool_of(network, "second", "bottleneck(ci, 2)")
    half = pool.space.choices[pool.space.layers["second"]][1]
    changed = Choice.of(network.layer("first").operator.nest(), TransformationSequence.parse("bottleneck(co, 8)"))
    pool = replace(pool, latencies_ms={**pool.latencies_ms, changed.key: 1.0})
    alone = pool.latency_ms({"first": changed})
    assert alone - pool.latency_ms({"first": changed, "second": half}) == half.form.macs


def test_what_somebody_else_reads_is_not_saved(network: Network) -> None:
    assert pool_of(network, "third", "bottleneck(ci, 2)").savings == ()
