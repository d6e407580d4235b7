"""What is delivered of a judged candidate."""

from __future__ import annotations

import random
from math import inf
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from loopwright.legality.proxies.fisher import convolutions, fisher_potential
from loopwright.lowering.inheritance import inherit
from loopwright.lowering.transformed import transformed
from loopwright.models.images import load_minibatch
from loopwright.models.network import Network
from loopwright.models.trace import trace
from loopwright.operators import parse
from loopwright.search.pool import Offer, Pool
from loopwright.search.savings import savings
from loopwright.search.shrinking import saving, shrunk
from loopwright.search.space import Choice, Limits, SearchSpace
from loopwright.transformations import TransformationSequence
from tests.legality.networks import SmallNet


class ByWork:
    """Latencies in proportion to the multiply-accumulates; ``slow`` operators can't be timed."""

    def __init__(self, *slow: str):
        self._slow = slow

    def of(self, choice: Choice) -> SimpleNamespace:
        return SimpleNamespace(latency_ms=inf if str(choice.sequence) in self._slow else choice.form.macs)


@pytest.fixture
def network() -> Network:
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3, padding=1)]
    return trace(nn.Sequential(*layers), torch.zeros(1, 3, 8, 8))


@pytest.fixture
def space(network: Network) -> SearchSpace:
    return SearchSpace.of(network.workloads, random.Random(0), Limits(operators=1))


def choice(network: Network, layer: str, text: str) -> Choice:
    return Choice.of(network.layer(layer).operator.nest(), TransformationSequence.parse(text))


def delivered(network: Network, space: SearchSpace, judged: dict[str, Choice], *slow: str) -> dict[str, str]:
    found = shrunk(network, space, judged, ByWork(*slow))
    return {layer: str(own.sequence) for layer, own in found.items()}


def test_producers_lose_what_is_not_read(network: Network, space: SearchSpace) -> None:
    judged = {"3": choice(network, "3", "bottleneck(ci, 2)")}
    assert delivered(network, space, judged) == {"0": "bottleneck(co, 2)", "3": "bottleneck(ci, 2)"}
    found = shrunk(network, space, judged, ByWork())
    assert saving(space, judged, found) == (
        f"liveness: 1 layer no longer computes what nobody reads ({4 * 27 * 64:,} MACs an image less)"
    )


def test_steps_are_added_to_the_layers_own(network: Network, space: SearchSpace) -> None:
    judged = {"0": choice(network, "0", "bottleneck(ci, 3)"), "3": choice(network, "3", "bottleneck(ci, 4)")}
    assert delivered(network, space, judged)["0"] == "bottleneck(ci, 3) -> bottleneck(co, 4)"


def test_what_gets_no_faster_stays_as_it_was_judged(network: Network, space: SearchSpace) -> None:
    judged = {"3": choice(network, "3", "bottleneck(ci, 2)")}
    assert delivered(network, space, judged, "bottleneck(co, 2)") == {"3": "bottleneck(ci, 2)"}
    assert saving(space, judged, judged) == ""


def test_the_original_stays(network: Network, space: SearchSpace) -> None:
    assert delivered(network, space, {}) == {}


def test_the_verdict_holds_for_what_is_delivered() -> None:
    """Equal outputs, and an equal Fisher Potential: dead outputs have no gradient."""
    torch.manual_seed(0)
    network = trace(SmallNet(), torch.zeros(1, 3, 16, 16))
    space = SearchSpace.of(network.workloads, random.Random(0), Limits(operators=1))
    judged = {layer: choice(network, layer, "bottleneck(ci, 2)") for layer in ("inner", "down")}
    found = shrunk(network, space, judged, ByWork())
    assert {layer for layer in found if found[layer] is not judged.get(layer)} == {"stem", "inner"}
    before, after = (
        transformed(network, {layer: own.form for layer, own in choices.items()}) for choices in (judged, found)
    )
    inherit(after, before)
    images = load_minibatch(None, 8, 0, (1, 3, 16, 16))
    layers = convolutions(network.module)
    scores = [fisher_potential(module, layers, images).total for module in (before, after)]
    assert scores[1] == pytest.approx(scores[0], rel=1e-5)
    with torch.no_grad():
        x = torch.randn(2, 3, 16, 16)
        assert torch.allclose(before.eval()(x), after.eval()(x), atol=1e-5)


def test_savings_are_what_single_choices_leave_of_untouched_layers(network: Network) -> None:
    less, more, grouped = (
        choice(network, "3", text) for text in ("bottleneck(ci, 2)", "bottleneck(ci, 4)", "group(co, ci, 2)")
    )
    space = SearchSpace.of(network.workloads, random.Random(0), Limits(operators=1))
    workload = space.layers["3"]
    offered = space.limited_to(dict(space.choices) | {workload: [*space.choices[workload], less, more, grouped]})
    found = [(own.layer, own.reader, own.taken, str(own.operator.sequence)) for own in savings(network, offered)]
    assert found == [("0", "3", less.key, "bottleneck(co, 2)"), ("0", "3", more.key, "bottleneck(co, 4)")]


class Apart(nn.Module):
    """``wide`` is read through a depthwise layer, of ``cut`` only a half, and ``shared`` by two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.depth = nn.Conv2d(3, 16, 1), nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.narrow, self.cut = nn.Conv2d(16, 8, 1), nn.Conv2d(8, 16, 1)
        self.shared, self.left, self.right = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shared = self.shared(self.cut(self.narrow(torch.relu(self.depth(self.wide(x)))))[:, :8])
        return self.left(shared) + self.right(shared)


def test_savings_are_of_layers_that_one_layer_alone_reads_directly() -> None:
    network = trace(Apart(), torch.zeros(1, 3, 8, 8))
    space = SearchSpace.of(network.workloads, random.Random(0), Limits(operators=1))
    half = {
        workload: [*found, Choice.of(parse(workload).nest(), TransformationSequence.parse("bottleneck(ci, 2)"))]
        for workload, found in space.choices.items()
        if space.layers["depth"] != workload and "ci=3" not in workload
    }
    found = savings(network, space.limited_to(dict(space.choices) | half))
    assert {(own.layer, own.reader) for own in found} == {("depth", "narrow"), ("narrow", "cut"), ("cut", "shared")}


def test_what_the_search_counts_is_delivered() -> None:
    network = trace(Apart(), torch.zeros(1, 3, 8, 8))
    space = SearchSpace.of(network.workloads, random.Random(0), Limits(operators=12))
    offer = Offer(space, savings(network, space))
    pool = Pool.of(offer, {key: float(choice.form.macs) for key, (_, choice) in offer.operators.items()})
    rng, counted = random.Random(1), 0
    for _ in range(60):
        judged = pool.space.chosen(pool.space.draw(rng))
        delivered = shrunk(network, space, judged, ByWork())
        for layer, own in pool.delivered(judged).items():
            assert delivered[layer].form.macs <= own.form.macs
            counted += layer not in judged
    assert counted
