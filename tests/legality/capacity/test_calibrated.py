"""The calibrated check: its regression, its table, its verdicts, and how good it is on recipes it has not seen."""

from __future__ import annotations

import copy
from dataclasses import replace
from math import nan
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from loopwright.errors import ArgumentError, DataError
from loopwright.legality.capacity import CONFIDENCE, CalibratedCheck, DropPredictor, Table, Trained, shipped
from loopwright.legality.capacity.calibrated import scores_of
from loopwright.legality.capacity.crossvalidation import Confusion, predictions, wilson
from loopwright.legality.capacity.features import FEATURES, features
from loopwright.legality.capacity.gaussian_process import GaussianProcess
from loopwright.legality.proxies import named
from loopwright.legality.proxies.fisher import Fisher, convolutions
from loopwright.models.images import Minibatch
from loopwright.models.seeding import seeded

SCORES = {name: -100.0 if name == "jacob_cov" else 100.0 for name in FEATURES}


def trained(number: int, drop: float, work: float, family: str = "a") -> Trained:
    scores = {**SCORES, "macs": 100.0 * work, "naswot": 100.0 - 5 * drop}
    return Trained(f"n{number:03}", frozenset([family]), drop, 0.3, scores)


def table(images: int = 8) -> Table:
    """Networks that lose the more points, the less work they do."""
    works = np.linspace(0.1, 1.0, 24)
    networks = [trained(k, 8 * (1 - work), float(work), "abcd"[k % 4]) for k, work in enumerate(works)]
    return Table(Trained("n000", frozenset(), 0.0, 0.3, SCORES), tuple(networks), images)


def small_network() -> nn.Module:
    with seeded(0):
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10),
        )  # fmt: skip


def minibatch(images: int = 8) -> Minibatch:
    rng = np.random.default_rng(0)
    return Minibatch(rng.normal(size=(images, 3, 8, 8)).astype(np.float32), np.arange(images) % 10, "drawn", "drawn")


def test_a_gaussian_process_follows_its_data_and_doubts_far_away() -> None:
    inputs = np.linspace(-2, 2, 25)[:, None]
    process = GaussianProcess.fit(inputs, np.sin(inputs[:, 0]), np.full(25, 1e-4))
    means, deviations = process.predict(np.array([[0.5], [1.1], [9.0]]))
    assert means[:2] == pytest.approx(np.sin([0.5, 1.1]), abs=0.1)
    assert deviations[2] > 3 * deviations[0]


def test_a_gaussian_process_does_not_follow_noise() -> None:
    rng = np.random.default_rng(0)
    inputs, noise = rng.uniform(-1, 1, (60, 1)), 0.5
    process = GaussianProcess.fit(inputs, inputs[:, 0] + noise * rng.normal(size=60), np.full(60, noise**2))
    means, _ = process.predict(np.array([[-0.5], [0.5]]))
    assert means == pytest.approx([-0.5, 0.5], abs=0.25)


def test_features_are_logarithms_of_ratios_or_differences_of_logarithms() -> None:
    scores = {**SCORES, "macs": 50.0, "naswot": 90.0, "jacob_cov": -200.0}
    found = dict(zip(FEATURES, features(scores, SCORES, FEATURES), strict=True))
    assert found["macs"] == pytest.approx(-np.log(2))
    assert found["naswot"] == -10.0
    assert found["jacob_cov"] == pytest.approx(np.log(2))
    assert found["fisher"] == 0.0
    assert np.isnan(features({**SCORES, "fisher": nan}, SCORES, ("fisher",))[0])
    assert np.isnan(features({**SCORES, "fisher": -1.0}, SCORES, ("fisher",))[0])


def test_predictions_are_in_points_with_an_interval() -> None:
    predictor = DropPredictor.of(table())
    found = predictor.predict(trained(0, 4.0, 0.5).scores, SCORES)
    assert found is not None
    low, high = found.interval
    assert low < found.drop < high
    assert found.drop == pytest.approx(4.0, abs=1.0)
    assert found.probability(found.drop) == pytest.approx(0.5)
    assert found.probability(20.0) > 0.99
    assert predictor.predict({**SCORES, "naswot": nan}, SCORES) is None


def test_a_table_comes_back_as_it_was(tmp_path: Path) -> None:
    table().write(tmp_path / "table.csv")
    found = Table.read(tmp_path / "table.csv")
    assert found.images == 8
    assert found.drops == pytest.approx(table().drops, abs=1e-3)
    assert [own.families for own in found.networks] == [own.families for own in table().networks]
    assert found.features() == pytest.approx(table().features(), rel=1e-6)


@pytest.mark.parametrize("text", ["", "id,drop\n", "# images: 8\nid,drop\nn000,0\n", "# images: many\n"])
def test_what_is_no_table_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(DataError, match="is no calibration table"):
        Table.read(tmp_path / "table.csv")


def test_too_few_networks_are_refused() -> None:
    with pytest.raises(DataError, match="at least 8 trained networks, not 3"):
        DropPredictor.of(Table(table().original, table().networks[:3], 8))


def test_shared_passes_score_as_the_proxies_do() -> None:
    module = small_network()
    before = copy.deepcopy(module.state_dict())
    proxies = {name: Fisher(convolutions(module)) if name == "fisher" else named(name) for name in FEATURES}
    found = scores_of(module, minibatch(), proxies)
    assert found == pytest.approx({name: own.score(module, minibatch()) for name, own in proxies.items()})
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    assert all(parameter.grad is None for parameter in module.parameters())


def test_the_original_is_legal_and_a_ruined_candidate_is_not() -> None:
    module = small_network()
    check = CalibratedCheck.of(module, minibatch(), table())
    verdict = check.judge(module)
    assert verdict.legal
    assert verdict.scores["predicted_drop_low"] <= verdict.scores["predicted_drop"]
    assert {*FEATURES, "naswot_original", "probability", "images"} <= verdict.scores.keys()
    ruined = copy.deepcopy(module)
    ruined[3] = nn.Conv2d(8, 8, 3, padding=1, groups=8)
    ruined[0] = nn.Conv2d(3, 8, 1)
    verdict = check.judge(ruined)
    assert not verdict.legal
    assert verdict.reason.startswith("Predicted accuracy too low: loses ")
    assert check.judge(ruined) == verdict


def test_a_score_that_is_no_number_is_a_rejection_with_the_reason() -> None:
    module = small_network()
    check = CalibratedCheck.of(module, minibatch(), table())
    broken = copy.deepcopy(module)
    with torch.no_grad():
        broken[0].weight[0, 0, 0, 0] = nan
    verdict = check.judge(broken)
    assert not verdict.legal
    assert "nan" in verdict.reason


def test_unusable_input_is_an_error() -> None:
    module = small_network()
    with pytest.raises(ArgumentError, match="calibrated on 8 images, and 4 are given"):
        CalibratedCheck.of(module, minibatch(4), table())
    with pytest.raises(ArgumentError, match="the tolerance is nan"):
        CalibratedCheck.of(module, minibatch(), table(), tolerance=nan)
    with pytest.raises(ArgumentError, match="the confidence is 1.5"):
        CalibratedCheck.of(module, minibatch(), table(), confidence=1.5)
    with pytest.raises(ArgumentError, match="no two-dimensional convolution"):
        CalibratedCheck.of(nn.Sequential(nn.Flatten(), nn.Linear(192, 10)), minibatch(), table())
    labels = replace(minibatch(), labels=np.full(8, 12))
    with pytest.raises(DataError, match="label 12"):
        CalibratedCheck.of(module, labels, table())
    images = minibatch().images.copy()
    images[2] = nan
    with pytest.raises(DataError, match="image 2"):
        CalibratedCheck.of(module, replace(minibatch(), images=images), table())


def test_a_larger_tolerance_accepts_more() -> None:
    module = small_network()
    smaller = copy.deepcopy(module)
    smaller[3] = nn.Conv2d(8, 8, 3, padding=1, groups=2)
    chances = [
        CalibratedCheck.of(module, minibatch(), table(), tolerance).judge(smaller).scores["probability"]
        for tolerance in (0.5, 4.0, 30.0)
    ]
    assert chances == sorted(chances)


def test_wilson_intervals() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    low, high = wilson(8, 10)  # worked out by hand: (0.8 + 0.19207 +- 1.96 * sqrt(0.016 + 0.0096)) / 1.38414
    assert low == pytest.approx(0.490, abs=1e-3)
    assert high == pytest.approx(0.943, abs=1e-3)


def test_cross_validation_leaves_out_every_network_that_shares_a_recipe() -> None:
    full = table()
    spoilt = replace(full.networks[0], drop=60.0)
    others = Table(full.original, (spoilt, *full.networks[1:]), 8)
    before, after = predictions(full), predictions(others)
    same = [a == b for a, b in zip(before, after, strict=True)]
    assert same == [own.families == spoilt.families for own in full.networks]


def test_on_recipes_it_has_not_seen_the_shipped_check_is_right_often_enough() -> None:
    own = shipped()
    chances = np.array([found.probability(1.0) if found else 0.0 for found in predictions(own)])
    good = own.drops <= 1.0
    found = Confusion.of(chances >= CONFIDENCE, good)
    assert found.precision >= 0.85
    assert found.recall >= 0.5
