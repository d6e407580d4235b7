"""The parts that strategies are made of."""

from __future__ import annotations

import os
import random
from itertools import product
from math import inf

import numpy as np
import pytest

from loopwright.operators import parse
from loopwright.processes import compiled_code_silent
from loopwright.search.pool import Offer, Pool, promising, shared_out, spread
from loopwright.search.savings import Saving
from loopwright.search.space import Choice
from loopwright.search.strategies._conflict import conflict
from loopwright.search.strategies._programme import Programme
from loopwright.search.strategies._surrogate import Features, Surrogate
from loopwright.transformations import TransformationSequence
from tests.search.made_up import LAYERS, STRIDED, TEXT, Rule, pool


def whole() -> Pool:
    return pool(operators=6)


def with_savings() -> Pool:
    """What ``c`` takes leaves less of ``a``: the first and the second of its operators much, the third a little."""
    own = whole()
    nest = parse(TEXT).nest()
    much, little = (Choice.of(nest, TransformationSequence.parse(f"bottleneck(co, {factor})")) for factor in (8, 2))
    original_ms = own.latency_ms({}) - own.latencies_ms[own.space.original("c").key]
    latencies = dict(own.latencies_ms) | {much.key: original_ms / 16, little.key: original_ms / 4}
    readers = own.space.choices[STRIDED][1:4]
    savings = (Saving("a", "c", taken.key, left) for taken, left in zip(readers, (much, much, little), strict=True))
    return Pool.of(Offer(own.space, tuple(savings)), latencies)


def combinations(own: Pool) -> list[dict[str, Choice]]:
    space = own.space
    return [
        {layer: choice for layer, choice in zip(space.layers, taken, strict=True) if choice.sequence.steps}
        for taken in product(*(space.choices[workload] for workload in space.layers.values()))
    ]


def test_operators_that_are_not_expected_to_be_faster_are_left_out() -> None:
    space = whole().space
    slow = {choice.key for found in space.choices.values() for choice in found[1::2]}
    kept = promising(
        Offer(space), lambda own: 2.0 if own.key in slow else 1.0 if not own.sequence.steps else 0.5, 100
    ).space
    assert all(own.key not in slow for found in kept.choices.values() for own in found)
    assert [found[0] for found in kept.choices.values()] == [found[0] for found in space.choices.values()]


def test_the_budget_is_kept_and_the_fastest_are_taken() -> None:
    space = whole().space
    kept = promising(Offer(space), lambda own: float(own.form.macs), 5).space
    assert sum(len(found) - 1 for found in kept.choices.values()) == 5
    for text, found in kept.choices.items():
        assert min(own.form.macs for own in space.choices[text]) == min(own.form.macs for own in found)


def test_what_a_choice_leaves_of_others_is_timed_right_after_it() -> None:
    own = with_savings()
    keys = list(Offer(own.space, own.savings).operators)
    assert keys[:2] == [found[0].key for found in own.space.choices.values()]
    assert len(keys) == len(set(keys))
    for saving in own.savings[::2]:
        assert keys.index(saving.operator.key) == keys.index(saving.taken) + 1


def test_operators_are_worth_timing_for_what_they_save_elsewhere() -> None:
    space = whole().space
    original, taken, *_ = space.choices[STRIDED]
    less = Choice.of(parse(TEXT).nest(), TransformationSequence.parse("bottleneck(co, 2)"))
    offer = Offer(space, (Saving("a", "c", taken.key, less),))
    keys = {own.key for own in space.choices[TEXT]}

    def expected(own: Choice) -> float:
        return 0.5 if own.key == less.key else 1.0 if own.key in keys or own.key == original.key else 1.2

    kept = promising(offer, expected, 100)
    assert kept.space.choices[STRIDED] == (original, taken)
    assert kept.savings == offer.savings
    assert promising(Offer(space), expected, 100).space.choices[STRIDED] == (original,)


def test_those_with_more_weight_get_more_but_no_more_than_there_is() -> None:
    assert shared_out(6, {"a": 2.0, "b": 1.0}, {"a": 9, "b": 9}) == {"a": 4, "b": 2}
    assert shared_out(6, {"a": 2.0, "b": 1.0}, {"a": 2, "b": 9}) == {"a": 2, "b": 4}
    assert shared_out(6, {"a": 2.0, "b": 1.0}, {"a": 2, "b": 1}) == {"a": 2, "b": 1}


@pytest.mark.parametrize(
    ("length", "count", "taken"), [(5, 5, [0, 1, 2, 3, 4]), (5, 1, [0]), (5, 0, []), (5, 2, [0, 4])]
)
def test_spread(length: int, count: int, taken: list[int]) -> None:
    assert spread(length, count) == taken


def test_operators_that_turned_out_slow_or_could_not_be_timed_are_dropped() -> None:
    own = whole()
    (original, first, second, *others), strided = own.space.choices[TEXT], list(own.space.choices)[1]
    known = dict(own.latencies_ms) | {first.key: own.latencies_ms[original.key] * 2, second.key: float("inf")}
    kept = Pool.of(Offer(own.space), known)
    assert kept.space.choices[TEXT] == (original, *others)
    assert kept.space.choices[strided] == own.space.choices[strided]


def test_layers_of_which_the_untouched_operator_was_not_timed_stay_as_they_are() -> None:
    own = whole()
    original = own.space.choices[TEXT][0]
    kept = Pool.of(Offer(own.space), dict(own.latencies_ms) | {original.key: float("inf")})
    assert kept.space.choices[TEXT] == (original,)
    assert kept.latency_ms({}) == own.latencies_ms[own.space.original("c").key]


def test_what_saves_something_can_not_change_a_layer_that_was_not_timed() -> None:
    own = with_savings()
    original, taken = own.space.original("c"), own.savings[0].taken
    kept = Pool.of(Offer(own.space, own.savings), dict(own.latencies_ms) | {original.key: inf, taken: 0.0})
    assert kept.space.choices[STRIDED] == (original,)
    assert kept.savings == ()


def test_what_one_layer_saves_in_several_counts_together() -> None:
    own = with_savings()
    (original, taken, *_), left = own.space.choices[STRIDED], own.savings[0].operator
    saved = own.takes_ms(own.space.original("a")) - own.takes_ms(left)
    slow = dict(own.latencies_ms) | {taken.key: own.takes_ms(original) + 1.5 * saved}
    both = tuple(Saving(layer, "c", taken.key, left) for layer in ("a", "b"))
    assert taken in Pool.of(Offer(own.space, both), slow).space.choices[STRIDED]
    assert taken not in Pool.of(Offer(own.space, both[:1]), slow).space.choices[STRIDED]


@pytest.mark.parametrize("own", [whole(), with_savings()], ids=["apart", "with savings"])
def test_the_programme_finds_what_trying_everything_finds(own: Pool) -> None:
    programme, rng = Programme(own), np.random.default_rng(0)
    for _ in range(10):
        value = {(each.layer, each.choice.key): k for k, each in reversed(list(enumerate(programme.variables)))}
        judged = [value[each.layer, each.choice.key] for each in programme.variables]
        values, sizes = rng.uniform(-1, 0.2, (2, len(programme.variables)))[:, judged]

        def total(of: np.ndarray, choices: dict[str, Choice], value: dict[tuple[str, str], int] = value) -> float:
            taken = ((layer, choices.get(layer) or own.space.original(layer)) for layer in own.space.layers)
            return float(sum(of[value[layer, choice.key]] for layer, choice in taken))

        possible = [c for c in combinations(own) if total(values, c) >= -1.2 and total(sizes, c) <= -0.5]
        found = programme.fastest([(values, -1.2)], [(sizes, -0.5)])
        assert (found is None) == (not possible)
        if found is not None:
            best = min(map(own.latency_ms, possible))
            assert own.latency_ms(found) == pytest.approx(best, rel=2e-3)
            assert programme.fastest([(values, -1.2)], [(sizes, -0.5)], below_ms=0.9 * best) is None


def test_what_a_choice_saves_elsewhere_counts_where_that_layer_is_untouched() -> None:
    own = with_savings()
    first, _, third = own.space.choices[STRIDED][1:4]
    other = own.space.choices[TEXT][1]
    assert {layer: str(choice.sequence) for layer, choice in own.delivered({"c": first}).items()} == {
        "c": str(first.sequence), "a": "bottleneck(co, 8)"
    }  # fmt: skip
    assert str(own.delivered({"c": third})["a"].sequence) == "bottleneck(co, 2)"
    assert own.delivered({"a": other, "c": first}) == {"a": other, "c": first}
    assert own.delivered({"b": other}) == {"b": other}
    untouched = own.latency_ms({}) - own.latencies_ms[own.space.original("c").key]
    assert own.latency_ms({"c": first}) == pytest.approx(untouched * (1 / 2 + 1 / 16) + own.latencies_ms[first.key])


def test_savings_of_what_is_slow_or_not_timed_are_left_out() -> None:
    own = with_savings()
    timed = dict(own.latencies_ms)
    assert len(own.savings) == 3
    slow = timed | {own.savings[0].operator.key: timed[own.space.original("a").key]}
    assert Pool.of(Offer(own.space, own.savings), slow).savings == own.savings[2:]
    assert Pool.of(Offer(own.space, own.savings), timed | {own.savings[2].taken: inf}).savings == own.savings[:2]


@pytest.mark.parametrize("own", [whole(), with_savings()], ids=["apart", "with savings"])
def test_what_is_forbidden_does_not_come_again(own: Pool) -> None:
    programme, seen = Programme(own), []
    for _ in range(20):
        found = programme.fastest([], [])
        assert found is not None
        assert found not in seen
        seen.append(found)
        programme.forbid(found)
    fastest = seen[0]
    programme.forbid(fastest, ["a"])
    found = programme.fastest([], [])
    assert found is not None
    assert found.get("a") is not fastest.get("a")


def test_networks_near_another_differ_in_few_layers() -> None:
    own = whole()
    programme = Programme(own)
    fastest = programme.fastest([], [])
    assert fastest is not None
    assert set(fastest) == {"a", "b", "c"}
    for distance in (1, 2, 3):
        found = programme.fastest([programme.near({}, distance)], [])
        assert found is not None
        assert len(found) == distance
    assert programme.fastest([programme.near(fastest, 0)], []) == fastest


def test_a_conflict_is_as_small_as_can_be() -> None:
    own = whole()
    full = {layer: own.space.choices[workload][1] for layer, workload in own.space.layers.items()}
    assert set(conflict(full, Rule(own).keeps_structure)) == {"a", "c"}
    assert set(conflict(full, lambda choices: "b" not in choices)) == {"b"}
    assert set(conflict(full, lambda choices: len(choices) < 3)) == set(full)


def test_the_surrogate_learns_what_is_linear() -> None:
    own = whole()
    features, rng = Features(own.space), np.random.default_rng(0)
    weights = rng.normal(0, 0.3, features.count)
    weights[0] = 1.0
    everything = combinations(own)
    random.Random(0).shuffle(everything)
    inputs = np.stack([features.of(choices) for choices in everything])
    learnt = Surrogate.fit(features, inputs[:120], (inputs @ weights)[:120])
    assert inputs[120:] @ learnt.mean == pytest.approx(inputs[120:] @ weights, abs=0.15)
    draws = np.stack([learnt.drawn(rng.standard_normal(features.count)) for _ in range(200)])
    assert draws.mean(0) == pytest.approx(learnt.mean, abs=0.5)
    assert (inputs[:120] @ draws.T).std(1).mean() < 0.2, "where there is data, draws agree"


def test_a_layer_adds_nothing_where_it_stays_as_it_is() -> None:
    own = whole()
    features = Features(own.space)
    assert list(LAYERS.values()) == [["a", "b"], ["c"]]
    assert not features.part("a", own.space.original("a")).any()
    assert np.flatnonzero(features.of({})).tolist() == [0]


def test_what_compiled_code_prints_does_not_reach_the_output(capfd: pytest.CaptureFixture[str]) -> None:
    os.write(1, b"before ")
    with compiled_code_silent():
        os.write(1, b"within ")
    os.write(1, b"after")
    assert capfd.readouterr().out == "before after"
