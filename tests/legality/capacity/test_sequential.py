from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from loopwright.legality.capacity.sequential import EXACT, Evidence, Protocol, SequentialTest

PROTOCOL = Protocol.of(128, seed=3)
NOISE = 0.4
"""Of one image, as ResNet-34's candidates have it."""
Q_ORIGINAL = [1.0 + 0.5 * math.sin(n) for n in range(128)]


def score_of(per_image: list[float]) -> Callable[[int, int], float]:
    """The potential of parts of a minibatch whose images contribute ``per_image``: sum of q over 2 N^3."""
    return lambda start, stop: sum(per_image[start:stop]) / (2 * (stop - start) ** 3)


def evidence(per_image: list[float]) -> Evidence:
    score = score_of(per_image)
    return Evidence.of(PROTOCOL, score(0, 128), score)


def candidate(rng: random.Random, ratio: float, noise: float = NOISE, first: float = 1.0) -> list[float]:
    """Contributions around ``ratio`` times the original's; those of the first 8 images are all off by ``first``."""
    return [q * ratio * math.exp(noise * rng.gauss(0, 1)) * (first if n < 8 else 1) for n, q in enumerate(Q_ORIGINAL)]


def calibrated(first: float = 1.0) -> SequentialTest:
    rng = random.Random(0)
    panel = [evidence(candidate(rng, math.exp(rng.gauss(0, 0.5)), first=first)) for _ in range(6)]
    return SequentialTest.calibrated(PROTOCOL, 128, evidence(Q_ORIGINAL), panel)


def test_the_stages_end_with_all_of_the_minibatch():
    assert Protocol.of(128, 0).stages == (8, 32, 64, 128)
    assert Protocol.of(128, 0).parts == ((0, 8), (8, 32), (32, 64), (64, 128))
    assert Protocol.of(256, 0).stages == (8, 32, 128, 256)
    assert Protocol.of(64, 0).stages == (8, 32, 64)
    assert Protocol.of(32, 0).stages == (8, 16, 32)
    assert Protocol.of(31, 0) == EXACT


def test_the_text_of_a_protocol_tells_all_that_changes_a_verdict():
    texts = {
        str(protocol)
        for protocol in (
            PROTOCOL, Protocol.of(64, 3), Protocol.of(128, 4), Protocol.of(128, 3, "bfloat16"),
            replace(PROTOCOL, confidence=2.0), replace(PROTOCOL, panel=8), EXACT,
        )
    }  # fmt: skip
    assert len(texts) == 7


def test_parts_pool_to_the_score_of_all_their_images():
    own = evidence(Q_ORIGINAL)
    for stage, pooled in zip(PROTOCOL.stages, own.pooled, strict=True):
        assert pooled / stage**3 == pytest.approx(score_of(Q_ORIGINAL)(0, stage))
    assert Evidence.from_scores(PROTOCOL, own.scores(PROTOCOL)) == own


def test_clear_cases_take_few_images_and_close_ones_more():
    test, rng = calibrated(), random.Random(1)
    for ratio, legal in ((0.2, False), (5.0, True)):
        verdict = test.judge(score_of(candidate(rng, ratio)))
        assert verdict.legal == legal
        assert verdict.scores["images"] == 8
    images = {test.judge(score_of(candidate(rng, 1.0, noise=0.1))).scores["images"] for _ in range(20)}
    assert images <= {32, 64, 128}


def test_no_image_is_scored_twice_and_none_after_the_decision():
    asked = []
    score = score_of(candidate(random.Random(2), 1.0, noise=0.05))
    test = calibrated()
    verdict = test.judge(lambda start, stop: asked.append((start, stop)) or score(start, stop))
    assert asked == list(PROTOCOL.parts)[: len(asked)]
    assert verdict.scores["images"] == asked[-1][1]


def test_decisions_agree_with_the_scores_on_all_images():
    test, rng = calibrated(), random.Random(5)
    agreed = 0
    for _ in range(400):
        own = candidate(rng, math.exp(rng.gauss(0, 0.5)))
        agreed += test.judge(score_of(own)).legal == (sum(own) >= sum(Q_ORIGINAL))
    assert agreed >= 0.95 * 400


def test_the_panel_takes_out_what_candidates_have_in_common():
    rng, fair, shifted = random.Random(6), calibrated(), calibrated(first=2.0)
    assert shifted.offsets[0] - fair.offsets[0] == pytest.approx(math.log(2), abs=0.15)
    own = [candidate(rng, 0.6, first=2.0) for _ in range(100)]
    wrong = {test: sum(test.judge(score_of(one)).legal for one in own) for test in (fair, shifted)}
    assert wrong[shifted] < wrong[fair]


def test_a_verdict_holds_both_scores_for_all_images_and_how_many_decided():
    verdict = calibrated().judge(score_of(candidate(random.Random(7), 0.2)))
    assert verdict.check == "fisher"
    assert set(verdict.scores) == {"fisher", "fisher_original", "images"}
    assert verdict.scores["fisher_original"] == score_of(Q_ORIGINAL)(0, 128)
    assert verdict.scores["fisher"] == pytest.approx(0.2 * verdict.scores["fisher_original"], rel=0.8)
    assert verdict.reason.startswith("Fisher Potential about ")
    assert verdict.reason.endswith(", by 8 of 128 images: below")


@pytest.mark.parametrize("part", [math.nan, math.inf, 0.0])
def test_parts_without_a_logarithm_leave_the_decision_to_all_images(part: float):
    verdict = calibrated().judge(lambda start, stop: 1.0 if (start, stop) == (0, 128) else part)
    assert verdict.legal
    assert verdict.scores["images"] == 128


def test_a_score_that_is_no_number_is_rejected():
    verdict = calibrated().judge(lambda *_: math.nan)
    assert not verdict.legal
    assert verdict.reason == "Fisher Potential is nan"


@pytest.mark.parametrize("usable", [0, 2])
def test_without_a_panel_all_images_are_looked_at(usable: int):
    panel = [evidence(candidate(random.Random(0), 1.0))] * usable + [Evidence(math.nan, (1.0, 1.0, 1.0, 1.0))] * 4
    test = SequentialTest.calibrated(PROTOCOL, 128, evidence(Q_ORIGINAL), panel)
    assert test.judge(score_of(Q_ORIGINAL)).scores["images"] == 128


def test_the_order_of_the_panel_does_not_matter():
    rng = random.Random(0)
    panel = [evidence(candidate(rng, 1.0)) for _ in range(6)]
    tests = [SequentialTest.calibrated(PROTOCOL, 128, evidence(Q_ORIGINAL), own) for own in (panel, panel[::-1])]
    assert tests[0].offsets == pytest.approx(tests[1].offsets)
    assert tests[0].thresholds == pytest.approx(tests[1].thresholds)
