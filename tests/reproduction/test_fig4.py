"""Figure 4 on a small network: what is trained, what is timed, and what is refused."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch

from loopwright.cli.main import run
from loopwright.errors import ArgumentError
from loopwright.lowering.transformed import transformed
from loopwright.models.resolve import resolve
from loopwright.models.trace import trace
from loopwright.reproduction import fig4, fig4_training
from loopwright.search.deliver import ChangedLayer, NetworkSpec, save
from loopwright.training.folder import RESULT
from tests.training.small import write_data, write_network

SHAPE = (1, 3, 8, 8)
ALL = ["small-scratch-0", "grouped-scratch-0", "small-scratch-1", "grouped-scratch-1", "grouped-small-0"]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images in ``data`` and a chosen network in ``grouped``."""
    folder = tmp_path_factory.mktemp("fig4")
    write_data(folder)
    model = f"{write_network(folder)}:small"
    network = trace(resolve(model, SHAPE).build(), torch.zeros(SHAPE))
    layer = ChangedLayer(str(network.transformable_layer("4").operator), "group(co, ci, 2)")
    (folder / "grouped").mkdir()
    save(folder / "grouped", NetworkSpec(model, SHAPE, {"4": layer}), transformed(network, {"4": layer.form}))
    return folder


def arguments(place: Path, *more: str) -> list[str]:
    data = ["--data", str(place), "--epochs", "2", "--seeds", "2", "--inherited", "1", "--only", "train"]
    return ["reproduce", "fig4", str(place / "grouped"), "--out", str(place / "out"), *data, *more]


@pytest.fixture(scope="module")
def trained(place: Path) -> Path:
    assert run(arguments(place)) == 0
    return place / "out"


def test_every_network_is_trained_with_every_seed_and_from_inherited_weights(trained: Path) -> None:
    found = rows(trained / "trainings.csv")
    assert [
        f"{row['network'].rpartition(':')[2]}-{row['start'].rpartition(':')[2]}-{row['seed']}" for row in found
    ] == ALL
    assert [row["epochs"] for row in found] == ["2"] * 4 + ["1"]
    curves = sorted(path.name for path in (trained / "curves").iterdir())
    assert len(curves) == 5
    assert len({(trained / "curves" / name).read_text() for name in curves}) == 5, "every seed has its own weights"


def test_what_is_trained_is_not_trained_again(trained: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (trained / "trainings.csv").read_bytes()

    def never(*_: object) -> None:
        raise AssertionError("trained twice")

    monkeypatch.setattr(fig4, "run_training", never)
    assert run(arguments(place)) == 0
    assert (trained / "trainings.csv").read_bytes() == before


def test_trainings_of_another_length_are_not_taken_for_these(
    trained: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert trained.is_dir()
    assert run(arguments(place, "--epochs", "3")) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.endswith(
        "scratch-0 by 2 epochs, batch 256, cutout 0, teacher none, "
        "not by 3 epochs, batch 256, cutout 0, teacher none; give another --out"
    )
    assert run(arguments(place, "--distill")) == 2
    assert "teacher none, not by 1 epochs, batch 256, cutout 0, teacher" in capsys.readouterr().err


def test_the_original_teaches_what_begins_with_its_weights(trained: Path, place: Path, tmp_path: Path) -> None:
    assert run(arguments(place, "--seeds", "1", "--distill", "--out", str(tmp_path))) == 0
    original = fig4.entries([place / "grouped"])[0].label
    assert [row["teacher"] for row in rows(tmp_path / "trainings.csv")] == ["", "", original]
    curves = sorted(path.name for path in (tmp_path / "curves").iterdir())
    alike = [(tmp_path / "curves" / name).read_text() == (trained / "curves" / name).read_text() for name in curves]
    assert sorted(alike) == [False, True, True]


def test_a_training_that_was_not_noted_is_taken_as_it_is(trained: Path, place: Path) -> None:
    entry = fig4.entries([place / "grouped"])[0]
    training = fig4_training.Training(entry.label, entry.spec, fig4_training.Recipe(2), 0)
    result = trained / "trainings" / training.name / RESULT
    before = result.read_bytes()
    outcome = fig4_training.run_training(trained, place, training, "cpu")
    assert result.read_bytes() == before
    assert outcome.accuracy == float(rows(trained / "trainings.csv")[0]["accuracy"])


def test_the_table_has_what_is_known(trained: Path, place: Path) -> None:
    latencies = trained / "latencies"
    latencies.mkdir(exist_ok=True)
    entry = fig4.entries([place / "grouped"])[0]
    samples = [("eager", "float32", 9.0), ("openvino", "bfloat16", 1.0), ("loopwright", "float32", 6.0)]
    lines = [f"{who},{precision},{ms},," for who, precision, ms in [*samples, ("grouped", "float32", 2.0)]]
    (latencies / f"{entry.label}.csv").write_text("\n".join(["participant,precision,latency_ms,reason,", *lines]))
    original, chosen = fig4.summarise(fig4.Request((place / "grouped",), trained))
    assert (original["network"], chosen["network"]) == (entry.label, "grouped")
    assert (original["speedup"], chosen["speedup"], chosen["speedup_over_stock"]) == (1.0, 3.0, 4.5)
    assert chosen["stock"] == "eager", "float32 alone is compared"
    assert int(str(chosen["macs"])) < int(str(original["macs"]))
    assert int(str(chosen["parameters"])) < int(str(original["parameters"]))
    assert chosen["trainings"] == 2
    assert chosen["inherited_epochs"] == 1
    assert original["loss"] == 0
    (latencies / f"{entry.label}.csv").unlink()


def test_networks_that_can_t_be_told_apart_or_built_are_refused(place: Path, tmp_path: Path) -> None:
    save(tmp_path, NetworkSpec("", SHAPE, {}), torch.nn.Identity())
    with pytest.raises(ArgumentError, match="was made from a module in Python"):
        fig4.entries([tmp_path])
    with pytest.raises(ArgumentError, match="two networks are called 'grouped'; rename one of the folders"):
        fig4.entries([place / "grouped", place / "grouped"])


def test_trainings_need_images(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["reproduce", "fig4", str(place / "grouped"), "--out", str(tmp_path / "out"), "--only", "train"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "error: trainings need images; give --data, or --only time"


def test_seeds_may_differ_by_model(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = fig4.entries([place / "grouped"])[0].model
    request = fig4.Request((place / "grouped",), place, seeds={model: 3}, inherited=fig4_training.Recipe(2))
    first, then = fig4.trainings(request)
    assert [own.seed for own in first] == [0, 0, 1, 1, 2, 2]
    assert [own.follows(other) for own in then for other in first] == [True] + [False] * 5
    assert run(arguments(place, "--seeds", "resnet34=many")) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == ("error: --seeds resnet34=many: 'resnet34=many' is no number; give one such as 3, or resnet34=3")
