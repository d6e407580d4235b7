from __future__ import annotations

from math import isnan
from pathlib import Path

import pytest

from loopwright.errors import ArgumentError
from loopwright.legality.proxies import registered
from loopwright.reproduction.places import devices, on_places
from loopwright.reproduction.scoring import ScoreFile, Setup, score_all, score_model

SETUP = Setup(None, 4, 0)
CELLS = [
    "nasbench201/|skip_connect~0|+|none~0|nor_conv_1x1~1|+|none~0|skip_connect~1|none~2|",
    "nasbench201/|nor_conv_1x1~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|",
]
SCORES = dict.fromkeys(registered(), 1.5)


def test_scores_are_those_of_every_proxy_and_of_no_order():
    alone = score_model(CELLS[1], SETUP, "cpu")
    assert set(alone) == set(registered())
    assert dict(score_all(CELLS, SETUP, ["cpu"]))[CELLS[1]] == alone


def test_several_processes_give_the_same():
    one, several = (dict(score_all(CELLS, SETUP, ["cpu"], workers)) for workers in (1, 2))
    assert set(one) == set(several) == set(CELLS)
    for model in CELLS:
        assert several[model] == pytest.approx(one[model], rel=1e-3)


def test_a_file_keeps_what_is_added(tmp_path: Path):
    file = ScoreFile(tmp_path / "scores.csv", {"seed": 0})
    file.add("a", SCORES)
    file.add("b", {**SCORES, "jacob_cov": float("nan"), "synflow": float("-inf")})
    again = ScoreFile(tmp_path / "scores.csv", {"seed": 0})
    assert again.known["a"] == SCORES
    assert isnan(again.known["b"]["jacob_cov"])
    assert again.known["b"]["synflow"] == float("-inf")


@pytest.mark.parametrize("cut", [1, 3, 12])
def test_a_line_that_was_cut_short_is_scored_again(tmp_path: Path, cut: int):
    path = tmp_path / "scores.csv"
    file = ScoreFile(path, {"seed": 0})
    file.add("a", SCORES)
    file.add("b", SCORES)
    path.write_text(path.read_text()[:-cut])
    again = ScoreFile(path, {"seed": 0})
    assert set(again.known) == {"a"}
    again.add("b", SCORES)
    assert set(ScoreFile(path, {"seed": 0}).known) == {"a", "b"}


def test_scores_of_two_setups_do_not_meet(tmp_path: Path):
    ScoreFile(tmp_path / "scores.csv", {"seed": 0}).add("a", SCORES)
    with pytest.raises(ArgumentError, match="holds scores of another setup .* give another folder as --out"):
        ScoreFile(tmp_path / "scores.csv", {"seed": 1})


@pytest.mark.parametrize("places", [["cpu"], ["cpu", "cpu"]])
def test_what_follows_an_item_is_done_after_it(places: list[str]):
    done = [item for item, _ in on_places(pow_two, [1, 4], places, lambda item: [item * 2] if item in (1, 2) else [])]
    assert sorted(done) == [1, 2, 4, 4]
    assert done.index(1) < done.index(2)


def pow_two(number: int, place: str) -> tuple[int, str]:
    return 2**number, place


def test_unknown_devices_are_refused():
    assert devices("cpu") == ["cpu"]
    with pytest.raises(ArgumentError, match="there is no device 'tpu' here; there are: cpu"):
        devices("tpu")
