from __future__ import annotations

import random
from contextlib import suppress

import pytest

from loopwright.errors import NotApplicableError
from loopwright.operators import parse
from loopwright.search.candidate import Candidate
from loopwright.search.space import Choice, Limits, SearchSpace, choices, draw_sequence
from loopwright.transformations import TransformationSequence
from loopwright.transformations.recipes import fitting, variants

TEXT = "conv2d(co=16, ci=16, oh=8, ow=8, kh=3, kw=3)"
LIMITS = Limits(steps=4, operators=12)


def space(seed: int = 0) -> SearchSpace:
    return SearchSpace.of({TEXT: ["a", "b"], TEXT[:-1] + ", stride=2)": ["c"]}, random.Random(seed), LIMITS)


def test_operators_are_distinct_and_start_with_the_untouched_one() -> None:
    found, drawn = choices(parse(TEXT), random.Random(0), LIMITS, variants())
    assert not found[0].sequence.steps
    assert len({choice.key for choice in found}) == len(found) == LIMITS.operators
    assert drawn.distinct == len(found) - 1
    assert drawn.total >= drawn.distinct


def test_operators_keep_the_least_share_of_the_work() -> None:
    found, _ = choices(parse(TEXT), random.Random(1), Limits(operators=20, least_share=0.3), variants())
    assert all(choice.form.macs >= 0.3 * found[0].form.macs for choice in found)


def test_drawing_ends_when_there_is_nothing_more_to_find() -> None:
    found, drawn = choices(parse("conv2d(co=2, ci=2, oh=1, ow=1)"), random.Random(0), Limits(attempts=50), variants())
    assert len(found) < 24
    assert drawn.total == 50


def test_steps_that_only_mark_loops_are_not_drawn() -> None:
    rng, nest = random.Random(0), parse(TEXT).nest()
    for _ in range(60):
        with suppress(NotApplicableError):
            assert not any(step.transformation.marks for step in draw_sequence(nest, rng, 4))


def test_spaces_and_draws_follow_from_the_seed() -> None:
    texts = [[str(choice.sequence) for choice in own] for own in space().choices.values()]
    assert texts == [[str(choice.sequence) for choice in own] for own in space().choices.values()]
    draws = [[str(space().draw(random.Random(7))) for _ in range(3)] for _ in range(2)]
    assert draws[0] == draws[1]


def test_a_candidate_is_text_and_finds_its_operators_again() -> None:
    own = space()
    rng = random.Random(3)
    for candidate in (own.draw(rng) for _ in range(20)):
        chosen = own.chosen(candidate)
        assert {layer: str(choice.sequence) for layer, choice in chosen.items()} == dict(candidate.sequences)
        again = Candidate.of({layer: TransformationSequence.parse(text) for layer, text in candidate.sequences})
        assert again == candidate
        for layer, choice in chosen.items():
            nest = parse(own.layers[layer]).nest()
            assert Choice.of(nest, choice.sequence).key == choice.key


def test_spread_draws_reach_from_cautious_to_bold() -> None:
    own, rng = space(), random.Random(0)
    drawn = [own.draw_spread(rng) for _ in range(60)]
    changed = [len(candidate.sequences) for candidate in drawn]
    assert min(changed) == 0
    assert max(changed) == len(own.layers)
    assert [str(own.draw_spread(random.Random(7))) for _ in range(2)] == [str(own.draw_spread(random.Random(7)))] * 2


def test_workloads_are_offered_the_same_recipes() -> None:
    texts = [f"conv2d(co={width}, ci={width}, oh=8, ow=8, kh=3, kw=3)" for width in (32, 64, 128)]
    own = SearchSpace.of({text: [text] for text in texts}, random.Random(0), LIMITS)
    first, *others = ({str(choice.sequence) for choice in own.choices[text]} for text in texts)
    recipes = {str(sequence) for _, _, sequence in fitting(parse(texts[0]).nest(), variants())}
    for other in others:
        assert len(first & other & recipes) >= 3


def test_designs_change_the_layers_of_a_kind_alike() -> None:
    texts = [f"conv2d(co={width}, ci={width}, oh=8, ow=8, kh=3, kw=3)" for width in (32, 64)]
    pointwise = [f"conv2d(co={width}, ci={width}, oh=8, ow=8)" for width in (32, 64)]
    layers = {text: [f"{k} {number}" for number in range(2)] for k, text in enumerate([*texts, *pointwise])}
    own, rng = SearchSpace.of(layers, random.Random(0), LIMITS), random.Random(1)
    drawn = [dict(own.draw_design(rng).sequences) for _ in range(40)]
    for found in drawn:
        wide, narrow = ({found.get(name) for name in own.layers if name[0] in kind} for kind in ("01", "23"))
        assert len(wide - {None}) <= 1
        assert len(narrow - {None}) <= 1
    assert any(len(found) > 4 for found in drawn)
    assert any(0 < len(found) <= 4 for found in drawn)


def test_kinds_tell_grouped_layers_and_kernels_apart() -> None:
    dense = "conv2d(co=32, ci=32, oh=8, ow=8, kh=3, kw=3)"
    texts = [dense, dense[:-1] + ", stride=2)", dense[:-1] + ", dilation=2)", dense[:-1] + ", groups=32)"]
    texts.append("conv2d(co=32, ci=32, oh=8, ow=8)")
    own = SearchSpace.of({text: [str(k)] for k, text in enumerate(texts)}, random.Random(0), Limits(operators=2))
    assert sorted(own._kinds) == [["0", "1"], ["2"], ["3"], ["4"]]


def test_layers_of_one_workload_may_differ() -> None:
    own, rng = space(), random.Random(0)
    draws = [dict(own.draw(rng).sequences) for _ in range(20)]
    assert any(draw.get("a") != draw.get("b") for draw in draws)


def test_the_empty_candidate_is_the_original() -> None:
    assert space().chosen(Candidate()) == {}
    assert str(Candidate()) == "identity"


@pytest.mark.parametrize("layer", ["a", "c"])
def test_originals_are_untouched(layer: str) -> None:
    assert not space().original(layer).sequence.steps
