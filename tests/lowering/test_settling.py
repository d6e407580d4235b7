"""Inherited weights: layers' outputs keep their scale, batch norms take new statistics, and that helps."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from loopwright.ir.contraction import operator_form
from loopwright.lowering.settling import inherited, reestimate, settle
from loopwright.lowering.transformed import transformed
from loopwright.models.network import Network
from loopwright.models.trace import trace
from loopwright.training.images import Images, normalised
from loopwright.training.loop import Loop
from loopwright.training.schedule import FullSchedule
from loopwright.transformations import TransformationSequence

SEQUENCES = {
    "3": "group(co, ci, 4)",
    "6": "bottleneck(co, 2, complete=project)",
    "9": "unroll(co, 4) -> on s1: group(co, ci, 2)",
}


pytestmark = pytest.mark.usefixtures("one_thread")


def images() -> Images:
    """The class is the orientation of stripes."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(256) % 4
    rows, columns = torch.meshgrid(torch.arange(8), torch.arange(8), indexing="ij")
    stripes = torch.stack([rows % 2, columns % 2, (rows + columns) % 2, (rows // 2) % 2])[labels] * 120
    noise = torch.randint(100, (256, 8, 8, 3), generator=generator)
    return Images((stripes[..., None] + noise).to(torch.uint8), labels)


def network(norms: bool, bias: bool = False) -> nn.Module:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for ci in (3, 16, 16, 16):
        layers += [
            nn.Conv2d(ci, 16, 3, padding=1, bias=bias),
            nn.BatchNorm2d(16) if norms else nn.Identity(),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4))


def forms(traced: Network) -> dict[str, object]:
    nests = {layer.name: layer.operator.nest() for layer in traced.transformable}
    return {
        name: operator_form(TransformationSequence.parse(text).apply(nests[name])) for name, text in SEQUENCES.items()
    }


def outputs(module: nn.Module, x: Tensor, training: bool) -> dict[str, Tensor]:
    """Of the changed layers, without their bias."""
    module, found = copy.deepcopy(module).train(training), {}
    for name in SEQUENCES:
        layer = module.get_submodule(name)
        bias = 0 if layer.bias is None else layer.bias.view(1, -1, 1, 1)
        layer.register_forward_hook(lambda _m, _i, out, name=name, bias=bias: found.update({name: out - bias}))
    with torch.no_grad():
        module(x)
    return found


@pytest.mark.parametrize("norms", [True, False])
def test_every_layer_keeps_the_scale_of_its_outputs(norms: bool) -> None:
    original = network(norms, bias=not norms)
    with torch.no_grad():
        for parameter in original.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    before = copy.deepcopy(original.state_dict())
    traced = trace(original, torch.zeros(1, 3, 8, 8))
    x = normalised(images().part(0, 64), torch.float32)
    module = inherited(traced, original, forms(traced), [x])
    wanted, scaled = outputs(original, x, training=True), outputs(module, x, training=True)
    by_fan_in = outputs(transformed(traced, forms(traced)), x, training=True)
    for name in SEQUENCES:
        assert float(scaled[name].square().mean() / wanted[name].square().mean()) == pytest.approx(1, abs=1e-3)
    assert any(abs(float(by_fan_in[n].square().mean() / wanted[n].square().mean()) - 1) > 0.1 for n in SEQUENCES)
    assert all(torch.equal(before[name], own) for name, own in original.state_dict().items())
    assert all(child.training for child in module.modules())


@pytest.mark.parametrize("norms", [True, False])
def test_what_layers_put_out_is_nearer_to_the_originals_the_longer_they_are_fitted(norms: bool) -> None:
    original = network(norms, bias=not norms)
    traced = trace(original, torch.zeros(1, 3, 8, 8))
    x = normalised(images().part(0, 64), torch.float32)
    wanted = outputs(original, x, training=True)
    last = dict.fromkeys(SEQUENCES, float("inf"))
    for steps in (0, 2, 20):
        module = transformed(traced, forms(traced))
        settle(module, original, [x], steps)
        found = outputs(module, x, training=True)
        missed = {name: float((found[name] - wanted[name]).square().sum()) for name in SEQUENCES}
        assert missed["3"] < 0.98 * last["3"], "the first, of which the input is the original's"
        assert sum(missed.values()) < sum(last.values())
        last = missed


def test_where_nothing_was_removed_the_weights_stay() -> None:
    original = network(norms=True)
    traced = trace(original, torch.zeros(1, 3, 8, 8))
    nest = traced.transformable_layer("3").operator.nest()
    module = transformed(traced, {"3": operator_form(TransformationSequence.parse("tile(co: 4)").apply(nest))})
    settle(module, original, [torch.randn(8, 3, 8, 8)])
    own, wanted = module.get_parameter("3.weight_0"), original.get_parameter("3.weight")
    assert torch.allclose(own.flatten(), wanted.flatten(), atol=1e-4)


def test_statistics_are_the_means_over_the_batches() -> None:
    module = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.9), nn.BatchNorm2d(3, track_running_stats=False))
    batches = [torch.randn(16, 3, 4, 4) * 2 + 1 for _ in range(3)]
    reestimate(module, batches)
    norm = module[0]
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.momentum == 0.1
    assert torch.allclose(
        norm.running_mean, torch.stack([batch.mean((0, 2, 3)) for batch in batches]).mean(0), atol=1e-5
    )
    assert torch.allclose(norm.running_var, torch.stack([b.var((0, 2, 3)) for b in batches]).mean(0), atol=1e-4)


def test_networks_without_batch_norm_need_no_statistics() -> None:
    original = network(norms=False)
    traced = trace(original, torch.zeros(1, 3, 8, 8))
    module = transformed(traced, {})
    settle(module, original, [torch.randn(4, 3, 8, 8)])
    assert all(torch.equal(own, module.state_dict()[name]) for name, own in original.state_dict().items())


def test_a_settled_network_starts_better_and_learns_faster_than_one_from_scratch() -> None:
    data, original = images(), network(norms=True)
    for _ in Loop(original, data, FullSchedule(epochs=12, batch=32, peak=0.1), 0):
        pass
    traced = trace(original, torch.zeros(1, 3, 8, 8))
    batches = [normalised(data.part(start, start + 64), torch.float32) for start in (0, 64)]

    def loss(module: nn.Module) -> float:
        with torch.no_grad():
            scores = module.eval()(normalised(data, torch.float32))
        return float(functional.cross_entropy(scores, data.labels))

    settled, unsettled = inherited(traced, original, forms(traced), batches), transformed(traced, forms(traced))
    fresh = network(norms=True)
    scratch = transformed(trace(fresh, torch.zeros(1, 3, 8, 8)), forms(traced))
    assert loss(original) < loss(settled) < loss(unsettled)
    for module in (settled, scratch):
        for _ in Loop(module.train(), data, FullSchedule(epochs=1, batch=32, peak=0.1), 0):
            pass
    assert loss(settled) < loss(scratch)
