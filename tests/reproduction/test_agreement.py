from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from loopwright.reproduction import agreement

ACCURACIES = np.array([90.0, 94.0, 93.5, 92.0, 93.2, 80.0, 94.5, 10.0])
MACS = np.array([10.0, 100.0, 50.0, 60.0, 40.0, 20.0, 90.0, 5.0])


def test_correlations_are_signed_and_lie_in_their_intervals():
    random = np.random.default_rng(0)
    scores = random.normal(size=200)
    accuracies = scores + random.normal(size=200)
    for measure, reference in ((agreement.spearman, stats.spearmanr), (agreement.kendall, stats.kendalltau)):
        found = measure(scores, accuracies, 100, 0)
        assert found.value == pytest.approx(reference(scores, accuracies).statistic)
        assert found.low < found.value < found.high
        assert measure(-scores, accuracies, 100, 0).value == pytest.approx(-found.value)


@pytest.mark.parametrize("score", [np.nan, np.inf, -np.inf])
def test_scores_that_are_no_numbers_rank_below_all_others(score: float):
    scores = ACCURACIES.copy()
    scores[7] = score
    assert agreement.spearman(scores, ACCURACIES, 10, 0).value == pytest.approx(1)


def test_scores_that_are_all_alike_have_no_correlation():
    assert np.isnan(agreement.spearman(np.ones(8), ACCURACIES, 10, 0).value)


def test_originals_are_the_most_accurate_quarter():
    assert agreement.originals(ACCURACIES).tolist() == [6, 1]


def test_the_rule_by_hand():
    """Of original 1 (94.0, 100 MACs) all others are candidates, of 6 (94.5, 90 MACs) all but 1. Legal are 2, 4, 6 of
    the former, 2 alone of the latter."""
    scores = np.array([5.0, 3.0, 4.0, 1.0, 2.0, np.nan, 3.5, 0.0])
    found = agreement.rule(scores, ACCURACIES, MACS, agreement.originals(ACCURACIES), 50, 0)
    assert (found.originals, found.candidates, found.legal) == (2, 13, 4)
    assert (found.accepted, found.accepted_legal) == (3 + 2, 2 + 1)
    assert (found.precision.value, found.recall.value) == (3 / 5, 3 / 4)
    assert found.base == 4 / 13


def test_accepting_everything_has_the_base_as_precision_and_misses_nothing():
    found = agreement.accept_everything(ACCURACIES, MACS, agreement.originals(ACCURACIES), 50, 0)
    assert found.precision.value == found.base
    assert found.recall.value == 1


def test_the_number_of_macs_accepts_nothing():
    found = agreement.rule(MACS, ACCURACIES, MACS, agreement.originals(ACCURACIES), 50, 0)
    assert found.accepted == 0
    assert np.isnan(found.precision.value)


def test_an_original_without_a_score_accepts_nothing():
    scores = np.where(np.arange(8) == 6, np.nan, 1.0)
    assert agreement.rule(scores, ACCURACIES, MACS, np.array([6]), 50, 0).accepted == 0


def test_a_rank_sum_orders_by_all_its_votes():
    votes = agreement.rank_sum([np.array([1.0, 2.0, np.nan]), np.array([10.0, 30.0, 20.0])])
    assert votes.tolist() == [3, 6, 3]
