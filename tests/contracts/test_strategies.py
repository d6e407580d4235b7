"""What every strategy has to keep."""

from __future__ import annotations

import random
from time import monotonic

import pytest

from loopwright.errors import ArgumentError
from loopwright.search.budget import Budget
from loopwright.search.evaluation import NOT_ASKED, TOO_LARGE, Evaluation
from loopwright.search.strategies import named, registered
from tests.search.made_up import Rule, Steep, evaluation, pool

every = pytest.mark.parametrize("name", sorted(registered()))


def searched(name: str, rule: Rule, budget: Budget | None = None, seed: int = 0, **given: float) -> Evaluation:
    found = evaluation(rule, budget, **given)  # type: ignore[arg-type]
    named(name).search(found, random.Random(seed), spread=True)
    found.finish()
    return found


@every
def test_it_finds_a_legal_network_faster_than_the_original(name):
    found = searched(name, Rule(pool()))
    assert found.best_ms < found.original_ms
    assert found.latency_ms(found.accepted[0]) == found.best_ms


@every
def test_the_same_seed_gives_the_same_candidates(name):
    first, second = (searched(name, Rule(pool())).judged for _ in range(2))
    assert first == second


@every
def test_no_more_configurations_are_drawn_than_the_budget_allows(name):
    assert len(searched(name, Rule(pool()), Budget(20)).judged) <= 20


@every
def test_one_configuration_is_enough_to_end(name):
    assert len(searched(name, Rule(pool()), Budget(1)).judged) == 1


@every
def test_after_its_seconds_nothing_is_asked(name):
    rule = Rule(pool())
    assert searched(name, rule, Budget(seconds=1.0), started=monotonic() - 2.0).judged == ()
    assert rule.asked == []


@every
def test_a_pool_without_choices_is_no_error(name):
    whole = pool()
    alone = type(whole)(
        whole.space.limited_to({text: found[:1] for text, found in whole.space.choices.items()}), whole.latencies_ms
    )
    assert searched(name, Rule(alone)).best_ms == alone.latency_ms({})


@every
def test_nothing_legal_leaves_the_original(name):
    found = searched(name, Rule(pool(), share=1.5))
    assert found.accepted == []
    assert found.best_ms == found.original_ms


@every
def test_what_is_accepted_is_small_enough(name):
    found = searched(name, Rule(pool()), parameters=0.7)
    space, size = found.space, found.size
    assert found.accepted
    assert all(size.parameters(space, found.choices(number)) <= size.most for number in found.accepted)


@every
def test_all_that_was_drawn_is_told_of(name):
    found = searched(name, Rule(pool()), parameters=0.7)
    reasons = {own.reason for own in found.judged}
    assert reasons <= {
        "", NOT_ASKED, TOO_LARGE, "receptive field", "Fisher Potential below the original's",
    }  # fmt: skip
    assert len(found.judged) == found._funnel.counts["drawn"]
    stopped = sum(sum(own.values()) for own in found._funnel.rejections.values())
    assert stopped + found._funnel.counts["legal by capacity"] == len(found.judged)


@pytest.mark.parametrize("seed", range(4))
def test_exact_finds_the_fastest_of_all(seed):
    rule = Rule(pool(seed=seed))
    assert searched("exact", rule, seed=seed).best_ms == pytest.approx(rule.fastest_ms(), rel=0.006)


def test_exact_does_not_end_while_its_model_is_too_hopeful():
    found = searched("exact", Steep(pool(8, layers=Steep.LAYERS)), Budget(300))
    assert found.best_ms < 0.4 * found.original_ms


def test_exact_asks_about_no_candidate_twice():
    rule = Rule(pool())
    searched("exact", rule)
    learnt_from = 32
    assert len(set(rule.asked[learnt_from:])) == len(rule.asked[learnt_from:])


def test_random_finds_what_asking_about_all_would_find():
    rule = Rule(pool())
    found = searched("random", rule, enough=3)
    everything = searched("random", Rule(pool()), enough=1000)
    assert len(rule.asked) < len(everything.margins)
    fastest = [everything.latency_ms(number) for number in everything.accepted[:3]]
    assert [found.latency_ms(number) for number in found.accepted[:3]] == fastest


def test_an_unknown_strategy_is_told_those_that_there_are():
    with pytest.raises(ArgumentError, match=r"unknown strategy 'best'; known: evolution, exact, random"):
        named("best")


@pytest.mark.parametrize("given", [{"configurations": 0}, {"operators": 0}, {"seconds": 0.0}, {"seconds": -1.0}])
def test_a_budget_of_nothing_is_refused(given):
    with pytest.raises(ArgumentError):
        Budget(**given)
