from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

from loopwright.cli.main import run
from loopwright.legality.proxies import registered
from loopwright.models.sources.nasbench201 import cells

LIGHT = ("none", "skip_connect", "nor_conv_1x1")


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    """Thirty light cells, one of them without a path, with made-up accuracies."""
    light = [cell for cell in cells() if {op for node in cell.edges for op in node} <= set(LIGHT)]
    path = tmp_path_factory.mktemp("data") / "accuracy.csv"
    lines = [f"{cell},{50 + number}" for number, cell in enumerate(light[:: len(light) // 29][:30])]
    path.write_text("\n".join(["arch,cifar10_test", *lines]))
    return path


@pytest.fixture(scope="module")
def finished(table: Path, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("out") / "fig3"
    assert reproduce(table, out, 12) == 0
    return out


def reproduce(table: Path, out: Path, count: int) -> int:
    return run(
        ["reproduce", "fig3", "--data", str(table), "--cells", str(count), "--minibatch", "4", "--out", str(out)]
    )


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_cell_has_its_accuracy_and_every_score(finished: Path, table: Path):
    accuracies = {row["arch"]: float(row["cifar10_test"]) for row in rows(table)}
    found = rows(finished / "fig3.csv")
    assert len(found) == 12
    assert list(found[0]) == ["cell", "accuracy", *registered()]
    assert all(accuracies[row["cell"]] == float(row["accuracy"]) for row in found)


def test_every_proxy_is_compared_and_applied_as_a_rule(finished: Path):
    compared = {row["proxy"] for row in rows(finished / "fig3-summary.csv")}
    assert compared == {*registered(), "rank sum"}
    applied = rows(finished / "fig3-rules.csv")
    assert {row["proxy"] for row in applied} == {*compared, "accept everything"}
    assert {row["original"] for row in applied} > {"top quarter"}


def test_the_page_links_to_its_numbers(finished: Path):
    page = (finished / "fig3.html").read_text(encoding="utf-8")
    for name in ("fig3.csv", "fig3-summary.csv", "fig3-rules.csv"):
        assert f'href="{name}"' in page
    assert "12 cells of NAS-Bench-201" in page


def test_a_rerun_scores_only_what_is_missing(finished: Path, table: Path, tmp_path: Path, monkeypatch):
    out = tmp_path / "fig3"
    shutil.copytree(finished, out)
    lines = (out / "fig3-scores.csv").read_text().splitlines(keepends=True)
    (out / "fig3-scores.csv").write_text("".join(lines[:-2]) + lines[-2][:20])
    from loopwright.reproduction import scoring

    scored = []
    monkeypatch.setattr(
        scoring, "score_model", lambda model, *_, own=scoring.score_model: scored.append(model) or own(model, *_)
    )
    assert reproduce(table, out, 12) == 0
    assert scored == [line.split(",")[0] for line in lines[-2:]]
    assert rows(out / "fig3.csv") == rows(finished / "fig3.csv")


def test_scores_of_other_settings_are_not_mixed(finished: Path, table: Path, capsys):
    arguments = ["--data", str(table), "--cells", "12", "--minibatch", "8", "--out", str(finished)]
    assert run(["reproduce", "fig3", *arguments]) == 2
    assert "holds scores of another setup" in capsys.readouterr().err


def test_a_missing_benchmark_is_refused(tmp_path: Path, capsys):
    assert reproduce(tmp_path / "none.csv", tmp_path / "out", 4) == 2
    assert "it should be a CSV file with columns arch and cifar10_test" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_figures_are_found_by_their_files(capsys):
    assert run(["reproduce", "--help"]) == 0
    assert "fig3" in capsys.readouterr().out
