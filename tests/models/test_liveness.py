"""Networks keep their function when what nobody reads is removed."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from loopwright.errors import NotApplicableError
from loopwright.ir.contraction import operator_form
from loopwright.lowering.inheritance import inherit
from loopwright.lowering.transformed import transformed
from loopwright.models.liveness import live_channels, without_dead
from loopwright.models.network import Network
from loopwright.models.sources.cifar_densenet import DenseNet
from loopwright.models.trace import trace
from loopwright.operators import Operator
from loopwright.search.space import draw_sequence
from loopwright.transformations import TransformationSequence

IMAGES = (2, 3, 8, 8)
READ_LESS = ("bottleneck(ci, 2)", "bottleneck(ci, 4, keep=stride)", "bottleneck(ci, 2, keep=centre)")


def conv(ci: int, co: int, kernel: int = 3, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(ci, co, kernel, padding=kernel // 2, groups=groups), nn.BatchNorm2d(co))


class Chain(nn.Module):
    """Two convolutions with batch norm and activation between them."""

    def __init__(self):
        super().__init__()
        self.first, self.second = conv(3, 16), conv(16, 8)
        self.classes = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.classes(self.second(functional.relu(self.first(x))).mean((2, 3)))


class Residual(nn.Module):
    """Two residual blocks, the additions in place; each block's input has two readers."""

    def __init__(self):
        super().__init__()
        self.stem = conv(3, 16)
        self.a, self.b, self.c, self.d = conv(16, 16), conv(16, 16), conv(16, 16), conv(16, 16)
        self.classes = nn.Conv2d(16, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.stem(x), inplace=True)
        y = self.b(functional.relu(self.a(x)))
        y += x
        x = functional.relu(y)
        x = functional.relu(x + self.d(functional.relu(self.c(x))))
        return self.classes(x).flatten(1)


class Separable(nn.Module):
    """Pointwise, depthwise and grouped layers, a shuffle-free split and a gate."""

    def __init__(self):
        super().__init__()
        self.expand, self.depthwise, self.grouped = conv(3, 16, 1), conv(16, 16, 3, 16), conv(16, 16, 3, 4)
        self.left, self.right = conv(8, 8), conv(8, 8, 3, 8)
        self.gate = nn.Conv2d(16, 16, 1)
        self.classes = nn.Conv2d(16, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.silu(self.depthwise(functional.relu6(self.expand(x))))
        left, right = self.grouped(x).chunk(2, 1)
        x = torch.cat([self.right(right), self.left(left)], 1)
        x = x * torch.sigmoid(self.gate(x.mean((2, 3), keepdim=True)))
        return functional.max_pool2d(self.classes(x), 2)


MODELS: Mapping[str, Callable[[], nn.Module]] = {
    "chain": Chain,
    "residual": Residual,
    "separable": Separable,
    "densenet": lambda: DenseNet((2, 2), growth=4),
}


def traced(build: Callable[[], nn.Module]) -> Network:
    """A network in evaluation mode, its batch norms with statistics of their own."""
    torch.manual_seed(0)
    module = build()
    for submodule in module.modules():
        if isinstance(submodule, nn.BatchNorm2d):
            submodule.running_mean.normal_()
            submodule.running_var.uniform_(0.5, 2)
    return trace(module.eval(), torch.zeros(IMAGES))


def built(network: Network, sequences: Mapping[str, TransformationSequence]) -> nn.Module:
    layers = {layer.name: layer for layer in network.transformable}
    forms = {name: operator_form(text.apply(layers[name].operator.nest())) for name, text in sequences.items()}
    return transformed(network, forms).eval()


def parsed(texts: Mapping[str, str]) -> dict[str, TransformationSequence]:
    return {layer: TransformationSequence.parse(text) for layer, text in texts.items()}


def shrunk(network: Network, texts: Mapping[str, str]) -> dict[str, str]:
    """What liveness adds to the sequences, and to which layers."""
    given = parsed(texts)
    after = without_dead(network, given)
    steps = {layer: sequence.steps[len(given.get(layer, ())) :] for layer, sequence in after.items()}
    return {layer: str(TransformationSequence(added)) for layer, added in steps.items() if added}


def random_sequence(operator: Operator, rng: random.Random) -> TransformationSequence:
    """Often one that leaves inputs unread."""
    text = rng.choice([*READ_LESS, *[""] * 4])
    try:
        sequence = TransformationSequence.parse(text) if text else draw_sequence(operator.nest(), rng, 4)
        sequence.apply(operator.nest())
    except NotApplicableError:
        return TransformationSequence()
    return sequence


def outputs(module: nn.Module) -> Tensor:
    with torch.no_grad():
        return module(torch.randn(IMAGES, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("seed", range(12))
def test_the_function_stays(model: str, seed: int) -> None:
    network, rng = traced(MODELS[model]), random.Random(seed)
    sequences = {layer.name: random_sequence(layer.operator, rng) for layer in network.transformable}
    judged = built(network, sequences)
    delivered = built(network, without_dead(network, sequences))
    inherit(delivered, judged)
    before = outputs(judged)
    assert torch.allclose(outputs(delivered), before, atol=1e-5 * max(1, float(before.abs().max())))
    assert sum(p.numel() for p in delivered.parameters()) <= sum(p.numel() for p in judged.parameters())


def test_random_candidates_do_shrink() -> None:
    found = 0
    for model in MODELS.values():
        network, rng = traced(model), random.Random(0)
        for _ in range(4):
            sequences = {layer.name: random_sequence(layer.operator, rng) for layer in network.transformable}
            found += without_dead(network, sequences) != {k: v for k, v in sequences.items() if v.steps}
    assert found >= 8


def test_a_bottleneck_of_a_consumer_halves_its_producer() -> None:
    network = traced(Chain)
    assert shrunk(network, {"second.0": "bottleneck(ci, 2)"}) == {"first.0": "bottleneck(co, 2)"}
    modules = [built(network, parsed(texts)) for texts in ({}, {"first.0": "bottleneck(co, 2)"})]
    before, after = (module.get_submodule("first.0") for module in modules)
    assert (before.weight.numel(), after.form.parameters) == (16 * 27, 8 * 27)
    assert after.form.macs * 2 == network.layer("first.0").macs // IMAGES[0]


def test_what_is_kept_of_the_producer_is_what_is_read() -> None:
    assert shrunk(traced(Chain), {"second.0": "bottleneck(ci, 4, keep=stride)"}) == {
        "first.0": "bottleneck(co, 4, keep=stride)"
    }


def test_an_unchanged_network_stays() -> None:
    for model in MODELS.values():
        assert without_dead(traced(model), {}) == {}


def test_a_residual_addition_keeps_what_one_reader_reads() -> None:
    only_one = {"c.0": "bottleneck(ci, 2)"}
    assert shrunk(traced(Residual), only_one) == {}


def test_a_residual_addition_passes_on_what_all_readers_leave() -> None:
    everyone = {"c.0": "bottleneck(ci, 2)", "classes": "bottleneck(ci, 2)"}
    assert shrunk(traced(Residual), everyone) == {"b.0": "bottleneck(co, 2)", "d.0": "bottleneck(co, 2)"}
    all_blocks = {**everyone, "a.0": "bottleneck(ci, 2)"}
    assert shrunk(traced(Residual), all_blocks) == dict.fromkeys(("stem.0", "b.0", "d.0"), "bottleneck(co, 2)")


def test_readers_that_disagree_keep_what_any_of_them_reads() -> None:
    readers = {"c.0": "bottleneck(ci, 4)", "classes": "bottleneck(ci, 2)"}
    assert shrunk(traced(Residual), readers) == {"b.0": "bottleneck(co, 2)", "d.0": "bottleneck(co, 2)"}


def test_a_dead_depthwise_channel_kills_the_channel_that_it_reads() -> None:
    assert shrunk(traced(Separable), {"grouped.0": "bottleneck(ci, 4)"}) == {
        "expand.0": "bottleneck(co, 4, keep=stride)",
        "depthwise.0": "bottleneck(g, 4, keep=stride)",
    }


def test_a_concatenation_splits_what_is_read() -> None:
    """Of (right, left) the classes and the gate read the first half: nothing of the left."""
    readers = {"classes": "bottleneck(ci, 2)", "gate": "bottleneck(ci, 2)"}
    assert shrunk(traced(Separable), readers) == {"left.0": "bottleneck(co, 8)", "gate": "bottleneck(co, 2)"}


def test_everything_is_live_in_an_original_network() -> None:
    for model in MODELS.values():
        assert all(flags.all() for flags in live_channels(traced(model), {}).values())


def test_dense_concatenations_keep_what_any_later_layer_reads() -> None:
    network = traced(MODELS["densenet"])
    pointwise = [layer.name for layer in network.transformable if layer.operator.kernel == (1, 1)]
    assert shrunk(network, dict.fromkeys(pointwise[:1], "bottleneck(ci, 2)")) == {}
    assert shrunk(network, dict.fromkeys(pointwise, "bottleneck(ci, 2)")) == {"conv1": "bottleneck(co, 2)"}


def test_a_learned_projection_is_not_cut() -> None:
    texts = {"first.0": "bottleneck(co, 2, complete=project)", "second.0": "bottleneck(ci, 2)"}
    assert shrunk(traced(Chain), texts) == {}


def test_what_shares_its_weights_stays() -> None:
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.same, self.last = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.same(self.same(x)))

    assert shrunk(traced(Twice), {"last": "bottleneck(ci, 3)"}) == {}
