from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from loopwright.legality.capacity.comparison import ProxyCheck
from loopwright.legality.proxies.fisher import Fisher, convolutions
from loopwright.models.images import load_minibatch
from loopwright.models.seeding import seeded
from loopwright.models.trace import trace
from tests.legality.networks import SmallNet, forms_of, replaced


@pytest.fixture(scope="module")
def module():
    with seeded(0):
        return SmallNet()


@pytest.fixture(scope="module")
def check(module):
    return ProxyCheck.of(module, Fisher(convolutions(module)), load_minibatch(None, 16, 0, (1, 3, 16, 16)))


def test_the_original_is_legal(module, check):
    verdict = check.judge(module)
    assert verdict.legal
    assert verdict.scores["fisher"] == pytest.approx(verdict.scores["fisher_original"])


def test_operators_that_compute_the_same_are_legal(module, check):
    network = trace(module, torch.zeros(1, 3, 16, 16))
    assert check.judge(replaced(module, forms_of(network, "split(co, 2)"))).legal


def test_a_lower_score_is_rejected_with_both_scores(module, check):
    weak = copy.deepcopy(module)
    weak.linear.weight.data *= 0.1
    verdict = check.judge(weak)
    assert not verdict.legal
    assert verdict.check == "fisher"
    assert verdict.reason.startswith("Fisher Potential ")
    assert verdict.reason.endswith(": below")
    assert verdict.scores["fisher"] < verdict.scores["fisher_original"]


def test_a_higher_score_is_legal(module, check):
    strong = copy.deepcopy(module)
    strong.linear.weight.data *= 2
    assert check.judge(strong).legal


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_is_rejected(module, check, value):
    broken = copy.deepcopy(module)
    nn.init.constant_(broken.down.weight, value)
    verdict = check.judge(broken)
    assert not verdict.legal
    assert verdict.reason == "Fisher Potential is nan"
