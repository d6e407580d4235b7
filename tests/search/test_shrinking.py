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


def test_what_another_layer_reads_as_well_is_no_saving() -> None:
    network = trace(SmallNet(), torch.zeros(1, 3, 16, 16))
    space = SearchSpace.of(network.workloads, random.Random(0), Limits(operators=12))
    for own in savings(network, space):
        taken = next(each for each in space.choices[space.layers[own.reader]] if each.key == own.taken)
        judged = {own.reader: taken}
        assert shrunk(network, space, judged, ByWork())[own.layer].key == own.operator.key
