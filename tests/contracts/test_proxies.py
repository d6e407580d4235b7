"""What holds for every proxy that is registered: a value worked out by hand, determinism, an untouched module, clear
answers to bad input."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from loopwright.errors import ArgumentError, DataError
from loopwright.legality.capacity.comparison import ProxyCheck
from loopwright.legality.proxies import Proxy, named, registered
from loopwright.models.images import Minibatch, load_minibatch
from loopwright.models.seeding import seeded
from loopwright.models.trace import trace
from tests.legality.networks import SmallNet, forms_of, replaced

PROXIES = registered()
COUNTS = {"macs", "parameters"}
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]
every_proxy = pytest.mark.parametrize("proxy", PROXIES.values(), ids=PROXIES)


class Tiny(nn.Module):
    """A 1x1 convolution of 2 to 3 channels, ReLU, mean over the image, 2 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 1, bias=False)
        self.linear = nn.Linear(3, 2)
        with torch.no_grad():
            self.conv.weight.copy_(torch.tensor(W).view(3, 2, 1, 1))
            self.linear.weight.copy_(torch.tensor(V))
            self.linear.bias.copy_(torch.tensor(B))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(functional.relu(self.conv(x)).mean((2, 3)))


W = np.array([[1.0, -0.5], [0.25, 1.0], [-1.0, 0.5]], np.float32)
V = np.array([[0.5, -1.0, 2.0], [1.0, 0.75, -0.5]], np.float32)
B = np.array([0.1, -0.2], np.float32)
X = np.random.default_rng(0).normal(size=(6, 2, 2, 3)).astype(np.float32)
Y = np.array([0, 1, 1, 0, 1, 0])
TINY = Minibatch.of(X, Y, "drawn for the test")


class ByHand:
    """The forward and backward pass of `Tiny`, written out."""

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        self.x, self.n, pixels = x.astype(float), len(x), x.shape[2] * x.shape[3]
        self.a = np.einsum("ck,nkij->ncij", W, self.x)
        self.on = self.a > 0
        self.pooled = (self.a * self.on).mean((2, 3))
        logits = self.pooled @ V.T + B
        softmax = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        d_logits = (softmax - np.eye(2)[y]) / self.n
        self.d_a = (d_logits @ V)[:, :, None, None] / pixels * self.on
        self.d_w = np.einsum("ncij,nkij->ck", self.d_a, self.x)
        self.d_v = d_logits.T @ self.pooled
        self.jacobian = np.einsum("ck,ncij->nkij", W, V.sum(0)[:, None, None] / pixels * self.on).reshape(self.n, -1)


def fisher() -> float:
    hand = ByHand(X, Y)
    return float(((hand.a * hand.d_a).sum((2, 3)) ** 2).sum() / (2 * hand.n))


def grad_norm() -> float:
    hand = ByHand(X, Y)
    return float(np.linalg.norm(hand.d_w) + np.linalg.norm(hand.d_v))


def snip() -> float:
    hand = ByHand(X, Y)
    return float(np.abs(W * hand.d_w).sum() + np.abs(V * hand.d_v).sum())


def synflow() -> float:
    """The flow through each layer is the sum of the outputs for an image of ones, less what the biases add to it."""
    return float(np.log(2 * (np.abs(V) @ np.abs(W).sum(1)).sum()))


def naswot() -> float:
    codes = ByHand(X, Y).on.reshape(len(X), -1)
    return float(np.log(abs(np.linalg.det([[float((a == b).sum()) for b in codes] for a in codes]))))


def jacob_cov() -> float:
    eigenvalues = np.linalg.eigvalsh(np.corrcoef(ByHand(X, Y).jacobian))
    return float(-sum(np.log(value + 1e-5) + 1 / (value + 1e-5) for value in eigenvalues))


def zico() -> float:
    first, second = ByHand(X[:3], Y[:3]), ByHand(X[3:], Y[3:])
    layers = [np.abs([first.d_w, second.d_w]), np.abs([first.d_v, second.d_v])]
    return float(sum(np.log((layer.mean(0) / layer.std(0)).sum()) for layer in layers))


EXPECTED: dict[str, Callable[[], float]] = {
    "fisher": fisher,
    "grad_norm": grad_norm,
    "jacob_cov": jacob_cov,
    "macs": lambda: 3 * 2 * 2 * 3 + 2 * 3,
    "naswot": naswot,
    "parameters": lambda: 3 * 2 + 2 * 3 + 2,
    "snip": snip,
    "synflow": synflow,
    "zico": zico,
}


@pytest.fixture(scope="module")
def minibatch() -> Minibatch:
    return load_minibatch(None, 8, 0, (1, 3, 16, 16))


@pytest.fixture
def module() -> nn.Module:
    with seeded(0):
        return SmallNet()


def test_each_proxy_has_a_value_by_hand_and_names_its_paper():
    assert set(PROXIES) == set(EXPECTED)
    assert all(name == proxy.name and proxy.title and proxy.paper for name, proxy in PROXIES.items())


@every_proxy
@pytest.mark.parametrize("device", DEVICES)
def test_the_value_by_hand(proxy: Proxy, device: str):
    assert proxy.score(Tiny().to(device), TINY) == pytest.approx(EXPECTED[proxy.name](), rel=1e-4)


@every_proxy
def test_the_mode_makes_no_difference(proxy: Proxy, module: nn.Module, minibatch: Minibatch):
    scores = {proxy.score(module.train(mode), minibatch) for mode in (True, False, True)}
    assert len(scores) == 1
    assert np.isfinite(scores.pop())


@every_proxy
@pytest.mark.parametrize("device", DEVICES)
def test_the_module_is_left_bit_for_bit(proxy: Proxy, module: nn.Module, minibatch: Minibatch, device: str):
    module.to(device).train()
    module.norm.eval()
    module.stem.weight.grad = torch.ones_like(module.stem.weight)
    module.inner.weight.requires_grad_(False)
    before, random = copy.deepcopy(module), torch.get_rng_state()
    proxy.score(module, minibatch)
    assert torch.equal(torch.get_rng_state(), random)
    assert [name for name, _ in module.named_modules()] == [name for name, _ in before.named_modules()]
    assert_equal(module.state_dict(), before.state_dict())
    for now, then in zip(module.modules(), before.modules(), strict=True):
        assert now.training == then.training
        assert not any((now._forward_hooks, now._forward_pre_hooks, now._backward_hooks, now._backward_pre_hooks))
    for now, then in zip(module.parameters(), before.parameters(), strict=True):
        assert now.requires_grad == then.requires_grad
    assert [name for name, parameter in module.named_parameters() if parameter.grad is not None] == ["stem.weight"]
    assert torch.equal(module.stem.weight.grad, torch.ones_like(module.stem.weight))


def assert_equal(now: dict[str, torch.Tensor], then: dict[str, torch.Tensor]) -> None:
    for (name, value), (other, kept) in zip(now.items(), then.items(), strict=True):
        assert name == other
        assert torch.equal(value, kept)


@every_proxy
def test_transformed_modules_are_scored(proxy: Proxy, module: nn.Module, minibatch: Minibatch):
    network = trace(module, torch.zeros(1, 3, 16, 16))
    same = replaced(module, forms_of(network, "split(co, 2)"))
    assert proxy.score(same, minibatch) == pytest.approx(proxy.score(module, minibatch), rel=1e-3)
    halved = replaced(module, forms_of(network, "group(co, ci, 2)"))
    assert proxy.score(halved, minibatch) != proxy.score(module, minibatch)


class InParts(nn.Module):
    """A convolution that holds its weights in two parameters."""

    stands_for_convolution = True

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight_0, self.weight_1 = (nn.Parameter(part) for part in conv.weight.detach().split(4))
        self.bias = conv.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.conv2d(x, torch.cat([self.weight_0, self.weight_1]), self.bias, padding=1)


@every_proxy
def test_a_layer_is_one_however_many_parameters_hold_its_weights(proxy: Proxy, module: nn.Module, minibatch: Minibatch):
    parts = copy.deepcopy(module)
    parts.stem = InParts(module.stem)
    assert proxy.score(parts, minibatch) == pytest.approx(proxy.score(module, minibatch), rel=1e-3)


@every_proxy
def test_a_network_without_convolutions_is_refused(proxy: Proxy, minibatch: Minibatch):
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 10), nn.ReLU(), nn.Linear(10, 10))
    with pytest.raises(ArgumentError, match="the network has no two-dimensional convolution that a candidate could"):
        ProxyCheck.of(linear, proxy, minibatch)


@every_proxy
def test_a_minibatch_of_one_is_refused(proxy: Proxy, module: nn.Module, minibatch: Minibatch):
    with pytest.raises(DataError, match=r"needs at least \d images, not 1: give a larger minibatch"):
        proxy.score(module, minibatch.first(1))
    with pytest.raises(DataError, match=r"needs at least \d images, not 1: give a larger minibatch"):
        ProxyCheck.of(module, proxy, minibatch.first(1))


@every_proxy
@pytest.mark.parametrize(
    ("label", "message"),
    [(10, "the images have label 10, the network only 10 classes"), (-1, "label -1; labels count from 0")],
)
def test_labels_out_of_range_are_refused(
    proxy: Proxy, module: nn.Module, minibatch: Minibatch, label: int, message: str
):
    wrong = Minibatch.of(minibatch.images, np.r_[label, minibatch.labels[1:]], "mislabelled")
    with pytest.raises(DataError, match=message):
        ProxyCheck.of(module, proxy, wrong)


@every_proxy
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_images_that_are_no_numbers_are_refused(proxy: Proxy, module: nn.Module, minibatch: Minibatch, value: float):
    images = minibatch.images.copy()
    images[2, 0, 3, 3] = value
    with pytest.raises(DataError, match="image 2 of the minibatch holds values that are no finite numbers: broken"):
        proxy.score(module, Minibatch.of(images, minibatch.labels, "broken"))


@every_proxy
def test_a_network_without_class_scores_is_refused(proxy: Proxy, minibatch: Minibatch):
    features = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())
    with pytest.raises(ArgumentError, match=r"returns \(8, 4, 16, 16\); .* needs class scores of shape \(N, classes\)"):
        ProxyCheck.of(features, proxy, minibatch)


@every_proxy
def test_the_original_and_what_computes_the_same_are_legal(proxy: Proxy, module: nn.Module, minibatch: Minibatch):
    check = ProxyCheck.of(module, proxy, minibatch)
    assert check.judge(module).legal
    network = trace(module, torch.zeros(1, 3, 16, 16))
    assert check.judge(replaced(module, forms_of(network, "split(co, 2)"))).legal


@every_proxy
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_candidate_whose_weights_are_no_numbers_is_never_accepted(
    proxy: Proxy, module: nn.Module, minibatch: Minibatch, value: float
):
    broken = copy.deepcopy(module)
    nn.init.constant_(broken.down.weight, value)
    verdict = ProxyCheck.of(module, proxy, minibatch).judge(broken)
    assert verdict.reason
    assert verdict.legal == (proxy.name in COUNTS)


class Fixed(Proxy):
    """Gives the numbers of a list, one after the other."""

    name: ClassVar[str] = "fixed"
    title: ClassVar[str] = "the fixed score"
    paper: ClassVar[str] = "none"

    def __init__(self, *scores: float) -> None:
        self.scores = list(scores)

    def score(self, module: nn.Module, minibatch: Minibatch) -> float:  # noqa: ARG002
        return self.scores.pop(0)


@pytest.mark.parametrize("score", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_no_number_is_a_rejection_with_its_reason(
    module: nn.Module, minibatch: Minibatch, score: float
):
    verdict = ProxyCheck.of(module, Fixed(1.0, score), minibatch).judge(module)
    assert not verdict.legal
    assert verdict.check == "fixed"
    assert verdict.reason == f"The fixed score is {score}"


@pytest.mark.parametrize("score", [np.nan, np.inf, -np.inf, 0.0])
def test_nothing_is_held_against_an_original_without_a_score(module: nn.Module, minibatch: Minibatch, score: float):
    with pytest.raises(ArgumentError, match=f"of the original network, the fixed score is {score:g}, so no candidate"):
        ProxyCheck.of(module, Fixed(score), minibatch)


@pytest.mark.parametrize(("original", "candidate", "legal"), [(-10.0, -10.01, False), (-10.0, -9.0, True)])
def test_scores_below_zero_compare_like_all_others(
    module: nn.Module, minibatch: Minibatch, original: float, candidate: float, legal: bool
):
    assert ProxyCheck.of(module, Fixed(original, candidate), minibatch).judge(module).legal == legal


def test_an_unknown_proxy_is_refused_with_the_known_ones():
    with pytest.raises(ArgumentError, match="unknown proxy 'fischer'; known: fisher, grad_norm, .*zico"):
        named("fischer")
