from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from loopwright.errors import ArgumentError, LoopwrightError
from loopwright.legality.capacity.sequential import Protocol
from loopwright.legality.proxies.fisher import Fisher
from loopwright.models.images import Minibatch, load_minibatch
from loopwright.models.network import Network
from loopwright.models.seeding import seeded
from loopwright.models.trace import trace
from loopwright.search import judge as judging
from loopwright.search.judge import Judge, fingerprint
from loopwright.search.scoring import BFLOAT16, FLOAT32, Choices, Scorer
from loopwright.search.space import Limits, SearchSpace
from loopwright.search.workers import LocalCrew
from loopwright.store import Store
from tests.legality.networks import SmallNet, replaced


@pytest.fixture(scope="module")
def network() -> Network:
    with seeded(0):
        return trace(SmallNet(), torch.zeros(1, 3, 16, 16))


@pytest.fixture(scope="module")
def space(network: Network) -> SearchSpace:
    return SearchSpace.of(network.workloads, random.Random(0), Limits(steps=3, operators=6))


@pytest.fixture(scope="module")
def minibatch() -> Minibatch:
    return load_minibatch(None, 64, 0, (1, 3, 16, 16))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store.sqlite") as opened:
        yield opened


@pytest.fixture
def candidates(space: SearchSpace) -> list[Choices]:
    rng = random.Random(1)
    return [space.chosen(space.draw(rng)) for _ in range(16)]


def searching(network: Network, space: SearchSpace, minibatch: Minibatch, store: Store, **given: object) -> Judge:
    settings = {"configurations": 1000, "crew": LocalCrew(1), **given}
    return Judge.for_search(network, space, minibatch, store, **settings)  # type: ignore[arg-type]


def test_without_a_search_every_candidate_is_scored_on_all_images(network, minibatch, store, candidates):
    judge = Judge(network, minibatch, store)
    proxy = Fisher(("stem", "inner", "down"))
    assert judge.original_score == pytest.approx(proxy.score(network.module, minibatch), rel=1e-4)
    for choices in candidates[:4]:
        verdict = judge.capacity(choices)
        module = replaced(network.module, {layer: choice.form for layer, choice in choices.items()})
        assert verdict.scores["images"] == 64
        assert verdict.scores["fisher"] == pytest.approx(proxy.score(module, minibatch), rel=1e-4)


def test_a_device_that_is_named_scores_on_all_images_too(network, minibatch, store, candidates, tmp_path):
    with Store.open(tmp_path / "other.sqlite") as other:
        named = list(Judge(network, minibatch, other, "cpu").capacities(candidates[:4]))
    assert named == list(Judge(network, minibatch, store).capacities(candidates[:4]))


def test_verdicts_depend_neither_on_the_workers_nor_on_the_order(
    network, space, minibatch, store, candidates, tmp_path
):
    with searching(network, space, minibatch, store) as judge:
        alone = list(judge.capacities(candidates))
    with (
        Store.open(tmp_path / "other.sqlite") as other,
        searching(network, space, minibatch, other, crew=LocalCrew(3)) as judge,
    ):
        together = list(judge.capacities(candidates[::-1]))[::-1]
    assert together == alone
    assert {verdict.scores["images"] for verdict in alone} <= {8, 32, 64}


def test_nothing_is_scored_twice(network, space, minibatch, store, candidates, monkeypatch):
    with searching(network, space, minibatch, store, crew=LocalCrew(2)) as judge:
        list(judge.capacities(candidates[3:6]))
        first = list(judge.capacities(candidates))

    def never(*_: object) -> None:
        raise AssertionError("a candidate was scored again")

    monkeypatch.setattr(Fisher, "score", never)
    with searching(network, space, minibatch, store) as judge:
        assert list(judge.capacities(candidates)) == first


@pytest.mark.parametrize(
    "other",
    [
        Protocol((8, 32, 64), 3.0, arithmetic=FLOAT32),
        Protocol((8, 64), arithmetic=FLOAT32),
        Protocol((8, 32, 64), panel=5, arithmetic=FLOAT32),
        Protocol((8, 32, 64), seed=1, arithmetic=FLOAT32),
        Protocol((8, 32, 64), arithmetic=BFLOAT16),
    ],
)
def test_verdicts_of_another_protocol_are_not_taken(network, space, minibatch, store, candidates, other, monkeypatch):
    monkeypatch.setattr(judging, "fast_arithmetic", lambda: FLOAT32)
    recorded = []
    record = store.record_verdict
    monkeypatch.setattr(store, "record_verdict", lambda key, verdict: recorded.append(key) or record(key, verdict))
    with searching(network, space, minibatch, store) as judge:
        judge.capacity(candidates[0])
    recorded.clear()
    monkeypatch.setattr(judging.Protocol, "of", lambda *_: other)
    with searching(network, space, minibatch, store) as judge:
        judge.capacity(candidates[0])
    assert [key.check for key in recorded if key.check == "fisher"] == ["fisher"]


def test_few_configurations_are_not_worth_a_panel(network, space, minibatch, store, candidates):
    with searching(network, space, minibatch, store, configurations=12) as judge:
        assert judge.capacity(candidates[0]).scores["images"] == 64


def test_the_network_is_left_bit_for_bit_as_it_was_even_after_an_interrupt(
    network, space, minibatch, store, candidates, monkeypatch
):
    before, training = fingerprint(network.module), [child.training for child in network.module.modules()]
    state = torch.get_rng_state()

    def interrupted() -> Iterator[Choices]:
        yield from candidates[:3]
        raise KeyboardInterrupt

    with searching(network, space, minibatch, store, crew=LocalCrew(2)) as judge, pytest.raises(KeyboardInterrupt):
        list(judge.capacities(interrupted()))
    with monkeypatch.context() as patched:
        patched.setattr(Scorer, "part", lambda *_: (_ for _ in ()).throw(ValueError("broken")))
        with searching(network, space, minibatch, store) as judge, pytest.raises(ValueError, match="broken"):
            list(judge.capacities(candidates))
    assert fingerprint(network.module) == before
    assert [child.training for child in network.module.modules()] == training
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(child._forward_hooks for child in network.module.modules())
    with searching(network, space, minibatch, store, crew=LocalCrew(2)) as judge:
        assert len(list(judge.capacities(candidates))) == len(candidates)


def test_a_network_that_insists_on_float32_is_scored_in_it(space, minibatch, store, candidates, monkeypatch):
    class Insisting(SmallNet):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x.float())

    with seeded(0):
        network = trace(Insisting(), torch.zeros(1, 3, 16, 16))
    monkeypatch.setattr(judging, "fast_arithmetic", lambda: BFLOAT16)
    with searching(network, space, minibatch, store, crew=LocalCrew(2)) as judge:
        assert [verdict.scores["images"] for verdict in judge.capacities(candidates)]
        assert judge._protocol.arithmetic == FLOAT32


def test_arithmetic_of_less_precision_gives_nearly_the_same_scores(network, minibatch, candidates):
    scorer = Scorer(network, minibatch)
    for choices in candidates[:6]:
        exact = scorer.part(choices, FLOAT32, 8, 40)
        assert scorer.part(choices, BFLOAT16, 8, 40) == pytest.approx(exact, rel=0.1)


def test_an_original_without_a_score_is_refused(minibatch, store):
    with seeded(0):
        module = SmallNet()
    nn.init.zeros_(module.linear.weight)
    network = trace(module, torch.zeros(1, 3, 16, 16))
    with pytest.raises(ArgumentError, match="of the original network, Fisher Potential is 0, so no candidate"):
        _ = Judge(network, minibatch, store).original_score


def test_labels_that_are_no_classes_are_refused_by_the_workers_too(network, space, minibatch, store):
    wrong = Minibatch.of(minibatch.images, np.r_[10, minibatch.labels[1:]], "mislabelled")
    refusal = pytest.raises(LoopwrightError, match="the images have label 10, the network only 10 classes")
    with searching(network, space, wrong, store, crew=LocalCrew(2)) as judge, refusal:
        _ = judge.original_score
