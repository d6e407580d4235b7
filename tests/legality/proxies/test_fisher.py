from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from loopwright.errors import ArgumentError, DataError
from loopwright.legality.proxies.fisher import Fisher, channel_scores, convolutions, fisher_potential
from loopwright.models.images import Minibatch, load_minibatch
from loopwright.models.seeding import seeded
from loopwright.models.trace import trace
from tests.legality.networks import SmallNet, forms_of, replaced


@pytest.fixture(scope="module")
def minibatch():
    return load_minibatch(None, 6, 0, (1, 3, 16, 16))


@pytest.fixture
def module():
    with seeded(0):
        return SmallNet()


def from_the_definition(module: nn.Module, names, minibatch: Minibatch) -> dict[str, np.ndarray]:
    """Equations 4 and 5 written out over retained outputs and gradients of a copy."""
    module = copy.deepcopy(module).eval()
    for child in module.modules():
        child.training = isinstance(child, nn.BatchNorm2d)
    outputs: dict[str, torch.Tensor] = {}
    for name in names:
        module.get_submodule(name).register_forward_hook(
            lambda _m, _i, output, name=name: outputs.update({name: output}) or output.clone()
        )
    loss = functional.cross_entropy(module(torch.from_numpy(minibatch.images)), torch.from_numpy(minibatch.labels))
    gradients = torch.autograd.grad(loss, list(outputs.values()))
    products = [(a * g).detach().double().numpy() for a, g in zip(outputs.values(), gradients, strict=True)]
    return {
        name: (product.sum((2, 3)) ** 2).sum(0) / (2 * len(product))
        for name, product in zip(outputs, products, strict=True)
    }


def assert_defined(module: nn.Module, names, minibatch: Minibatch) -> None:
    found = fisher_potential(module, names, minibatch)
    expected = from_the_definition(module, names, minibatch)
    assert set(found.channels) == set(expected)
    for name, channels in expected.items():
        np.testing.assert_allclose(found.channels[name], channels, rtol=1e-3, atol=1e-12)
    assert found.total == pytest.approx(sum(channels.sum() for channels in expected.values()), rel=1e-3)


def test_one_channel_by_hand():
    activation = torch.tensor([[[[1.0, 2.0]]], [[[3.0, 0.0]]]])
    gradient = torch.tensor([[[[1.0, 1.0]]], [[[-1.0, 5.0]]]])
    assert channel_scores(activation, gradient).tolist() == [(3**2 + 3**2) / (2 * 2)]


def test_the_score_is_the_papers(module, minibatch):
    assert_defined(module, convolutions(module), minibatch)


@pytest.mark.parametrize("sequence", ["group(co, ci, 2)", "bottleneck(oh, 2) -> bottleneck(ow, 2)"])
def test_transformed_layers_are_scored_at_their_outputs(module, minibatch, sequence):
    network = trace(module, torch.zeros(1, 3, 16, 16))
    assert_defined(replaced(module, forms_of(network, sequence)), convolutions(module), minibatch)


def test_outputs_that_are_overwritten_in_place_are_scored_as_they_were(minibatch):
    class InPlace(SmallNet):
        def forward(self, x):
            x = self.stem(x).mul_(0.5)
            x = functional.silu(self.inner(x).add_(x), inplace=True)
            return self.linear(self.down(x).relu_().mean((2, 3)))

    with seeded(0):
        module = InPlace()
    assert_defined(module, convolutions(module), minibatch)


def test_the_module_is_left_as_it_was_after_an_error(minibatch):
    module = SmallNet(classes=2).train()
    with pytest.raises(DataError, match="the images have label 9, the network only 2 classes"):
        fisher_potential(module, convolutions(module), minibatch)
    assert all(child.training and not child._forward_hooks for child in module.modules())


def test_a_convolution_that_no_gradient_reaches_scores_0(minibatch):
    class Aside(SmallNet):
        def forward(self, x):
            self.inner(self.stem(x))
            return self.linear(self.down(self.stem(x) * 0).detach().mean((2, 3)))

    found = fisher_potential(Aside(), ("stem", "inner", "down"), minibatch)
    assert found.layers == {"stem": 0, "inner": 0, "down": 0}


def test_a_convolution_that_is_never_called_is_left_out(minibatch):
    class Unused(SmallNet):
        def forward(self, x):
            return self.linear(self.down(self.stem(x)).mean((2, 3)))

    assert set(fisher_potential(Unused(), ("stem", "inner", "down"), minibatch).channels) == {"stem", "down"}


def test_without_convolutions_there_is_nothing_to_score(minibatch):
    with pytest.raises(ArgumentError, match="no two-dimensional convolution; Fisher Potential is a sum over them"):
        Fisher().score(nn.Sequential(nn.Flatten(), nn.Linear(768, 10)), minibatch)


def test_operators_that_stand_for_convolutions_count_as_such(module, minibatch):
    network = trace(module, torch.zeros(1, 3, 16, 16))
    changed = replaced(module, forms_of(network, "bottleneck(co, 2, complete=project)"))
    assert convolutions(changed) == convolutions(module)
    found = fisher_potential(changed, convolutions(module), minibatch)
    assert Fisher().score(changed, minibatch) == found.total > 0


def test_a_network_without_class_scores_is_refused(minibatch):
    with pytest.raises(ArgumentError, match=r"returns \(6, 4, 16, 16\); Fisher Potential needs class scores"):
        fisher_potential(nn.Sequential(nn.Conv2d(3, 4, 1)), ("0",), minibatch)
