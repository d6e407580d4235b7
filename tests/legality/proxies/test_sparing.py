"""Passes that drop what is cheap to compute again: the same gradients, bit for bit, in less memory."""

from __future__ import annotations

import subprocess
import sys
from math import inf

import pytest
import torch
from torch import nn
from torch.nn import functional

from loopwright.legality.proxies import _sparing, fisher
from loopwright.legality.proxies._sparing import sparingly
from loopwright.legality.proxies.fisher import convolutions, fisher_with_gradients
from loopwright.models.images import load_minibatch
from loopwright.models.seeding import seeded
from loopwright.models.sources.cifar_densenet import DenseNet
from loopwright.models.trace import trace
from tests.legality.networks import SmallNet, forms_of, replaced


class Block(nn.Module):
    def __init__(self, before: int, after: int, inplace: bool = False):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after)
        self.inplace = inplace

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.norm(self.conv(x)), self.inplace)


class Net(nn.Module):
    """A chain of residual blocks, one of which is called twice; ``inplace`` overwrites sums and activations."""

    def __init__(self, inplace: bool = False):
        super().__init__()
        self.stem, self.shared, self.last = Block(3, 8, inplace), Block(8, 8, inplace), Block(16, 8, inplace)
        self.linear, self.inplace = nn.Linear(8, 10), inplace

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for _ in range(3):
            y = self.shared(x)
            x = torch.neg(y).add_(x) if self.inplace else y + x
        x = self.last(torch.cat([x[:, :4], functional.silu(x), x[:, 4:]], 1))
        return self.linear(functional.avg_pool2d(x, 4).mean((2, 3)))


class OverwritesWhatOthersComeOf(Net):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.stem(x) + 0
        z = torch.sigmoid(y + 1)
        y.mul_(2)  # autograd has saved nothing of it
        return self.linear(self.shared(y * z.clone()).mean((2, 3)))


def transformed() -> nn.Module:
    module = SmallNet()
    network = trace(module, torch.zeros(1, 3, 16, 16))
    return replaced(module, forms_of(network, "bottleneck(co, 2, complete=project)"))


NETWORKS = {
    "dense": lambda: DenseNet((3, 2), 4),
    "residual": Net,
    "in place": lambda: Net(inplace=True),
    "overwrites": OverwritesWhatOthersComeOf,
    "small": SmallNet,
    "transformed": transformed,
}


@pytest.fixture(scope="module")
def minibatch():
    return load_minibatch(None, 6, 0, (1, 3, 16, 16))


@pytest.mark.parametrize("with_weights", [False, True])
@pytest.mark.parametrize("plenty", [0, 20_000, 200_000])
@pytest.mark.parametrize("name", NETWORKS)
def test_scores_and_gradients_are_the_same_bit_for_bit(name, plenty, with_weights, minibatch, monkeypatch):
    with seeded(0):
        module = NETWORKS[name]()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    found = []
    for bytes_ in (inf, plenty):
        monkeypatch.setattr(fisher, "sparingly", lambda forward, bytes_=bytes_: sparingly(forward, bytes_))
        chosen = dict(module.named_parameters()) if with_weights else {}
        leaves = {key: value.detach().requires_grad_() for key, value in chosen.items()}
        potential = fisher_with_gradients(module, convolutions(module), minibatch, leaves)
        gradients = {f"d {key}": leaf.grad.numpy() for key, leaf in leaves.items() if leaf.grad is not None}
        found.append({**potential.channels, **gradients})
    kept, dropped = found
    assert kept.keys() == dropped.keys()
    assert all((kept[key] == dropped[key]).all() for key in kept)
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())


def bytes_by_storage(saved: _sparing._Saved) -> list[tuple[object, int]]:
    source = saved.view.source
    made = isinstance(source, _sparing._Made)
    return list(source.roots.items()) if made else [(saved.storage, _sparing._bytes(source))]


def bytes_held(module: nn.Module, images: torch.Tensor, plenty: float) -> int:
    """Of the tensors that stay between the passes, images and parameters included."""
    held: list[_sparing._Saved] = []

    class Operations(_sparing._Operations):
        def save(self, tensor: torch.Tensor) -> _sparing._Saved:
            held.append(super().save(tensor))
            return held[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_sparing, "_Operations", Operations)
        loss = sparingly(lambda: module(images).sum(), plenty)
    storages = dict(pair for saved in held for pair in bytes_by_storage(saved))
    loss.backward()
    return sum(storages.values())


def test_a_densely_connected_network_keeps_outputs_of_convolutions():
    with seeded(0):
        module, images = DenseNet((12,), 8), torch.randn(4, 3, 16, 16)
    assert bytes_held(module, images, 0) < 0.4 * bytes_held(module, images, inf)


def dropout_gradient(plenty: float) -> tuple[torch.Tensor, torch.Tensor]:
    """With the random state afterwards."""
    x = torch.linspace(-1, 1, 4096).requires_grad_()
    with seeded(0):
        sparingly(lambda: (functional.dropout(x * 2, 0.5) + 1).exp().square().sum(), plenty).backward()
        return x.grad, torch.random.get_rng_state()


def test_what_is_random_is_never_computed_again():
    (kept, state), (dropped, state_after) = dropout_gradient(inf), dropout_gradient(0)
    assert torch.equal(kept, dropped)
    assert torch.equal(state, state_after)


def test_an_error_of_the_pass_leaves_no_mode_behind():
    with pytest.raises(RuntimeError, match="shape"):
        sparingly(lambda: torch.ones(2, 3, requires_grad=True) @ torch.ones(2, 3), 0)
    x = torch.ones(2, requires_grad=True)
    assert type(x.exp().grad_fn._saved_result) is torch.Tensor


PEAK = """
import sys, resource, torch
from loopwright.legality.proxies import fisher, _sparing
from loopwright.models.images import load_minibatch
from loopwright.models.sources.cifar_densenet import DenseNet
torch.set_num_threads(1)
plain = fisher.sparingly
fisher.sparingly = lambda forward: plain(forward, float(sys.argv[1]))
module, images = DenseNet((12,), 8), load_minibatch(None, 128, 0, (1, 3, 32, 32))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
fisher.Fisher().score(module, images)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted in KiB there")
def test_the_peak_of_memory_is_much_lower():
    sparing, plain = (
        int(subprocess.run([sys.executable, "-c", PEAK, plenty], check=True, capture_output=True, text=True).stdout)
        for plenty in ("0", "inf")
    )
    assert sparing < 0.75 * plain
