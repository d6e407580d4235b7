"""The capacity check of a search: which one it is, and that the original is scored once for a store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from loopwright.errors import ArgumentError
from loopwright.legality.capacity import CalibratedCheck, shipped
from loopwright.legality.capacity import calibrated as module
from loopwright.models.images import Minibatch
from loopwright.models.network import Network
from loopwright.models.seeding import seeded
from loopwright.models.trace import trace
from loopwright.search.run import CapacityCheck
from loopwright.store import Store
from tests.legality.networks import SmallNet

TABLE = replace(shipped(), images=8)


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[Minibatch]:
    """The minibatches that a network was scored on."""
    found: list[Minibatch] = []
    scores_of = module.scores_of

    def recorded(network, minibatch, proxies):
        found.append(minibatch)
        return scores_of(network, minibatch, proxies)

    monkeypatch.setattr(module, "scores_of", recorded)
    return found


def network(seed: int = 0) -> Network:
    with seeded(seed):
        return trace(SmallNet(), torch.zeros(1, 3, 16, 16))


def images(seed: int = 0) -> Minibatch:
    taken = np.random.default_rng(seed).normal(size=(8, 3, 16, 16)).astype(np.float32)
    return Minibatch(taken, np.arange(8), f"drawn from {seed}", "drawn")


def check(store: Path, network: Network, minibatch: Minibatch, tolerance: float = 1.0) -> CalibratedCheck:
    with Store.open(store) as opened:
        found = CapacityCheck(tolerance=tolerance, table=TABLE).of(network, minibatch, "cpu", opened)
    assert found is not None
    return found


def test_the_original_is_scored_once_for_a_store(tmp_path: Path, scored: list[Minibatch]):
    first = check(tmp_path / "store.sqlite", network(), images())
    assert len(scored) == 1
    second = check(tmp_path / "store.sqlite", network(), images(), tolerance=4.0)
    assert len(scored) == 1
    assert second.original == first.original
    check(tmp_path / "other.sqlite", network(), images())
    assert len(scored) == 2


@pytest.mark.parametrize(("weights", "drawn"), [(1, 0), (0, 1)])
def test_other_weights_or_images_are_scored_anew(weights: int, drawn: int, tmp_path: Path, scored: list[Minibatch]):
    first = check(tmp_path / "store.sqlite", network(), images())
    second = check(tmp_path / "store.sqlite", network(weights), images(drawn))
    assert len(scored) == 2
    assert second.original != first.original


def test_the_paper_s_check_needs_no_scores_and_an_unknown_one_is_refused(tmp_path: Path, scored: list[Minibatch]):
    with Store.open(tmp_path / "store.sqlite") as store:
        assert CapacityCheck("fisher").of(network(), images(), "cpu", store) is None
        with pytest.raises(ArgumentError, match="legality check"):
            CapacityCheck("fischer").of(network(), images(), "cpu", store)
    assert not scored
