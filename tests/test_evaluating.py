from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import loopwright
from loopwright import evaluating
from loopwright.cli.main import run
from loopwright.compiling import Tuning, write_network
from loopwright.errors import DataError
from loopwright.evaluating import evaluate
from loopwright.lowering.transformed import transformed
from loopwright.models.images import Normalisation
from loopwright.models.resolve import resolve
from loopwright.models.trace import trace
from loopwright.search.deliver import ChangedLayer, NetworkSpec, save
from loopwright.training.accuracy import accuracy
from loopwright.training.classes import require_all
from loopwright.training.evaluation import EvaluationImages, Form, Predictions
from loopwright.training.images import load_whole
from tests.training import small

SHAPE = (1, 3, 8, 8)
INPUT = ("--input", "1,3,8,8")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, a result with one changed layer, and that compiled for one image and for three."""
    place = tmp_path_factory.mktemp("evaluate")
    model = f"{small.write_network(place)}:small"
    small.write_data(place / "data")
    network = trace(resolve(model, SHAPE).build(3), torch.zeros(SHAPE))
    layer = ChangedLayer(str(network.operator("4")), "group(co, ci, 2)")
    (place / "result").mkdir()
    save(place / "result", NetworkSpec(model, SHAPE, {"4": layer}), transformed(network, {"4": layer.form}))
    library(place / "result", place / "net.so")
    return place


def library(model: object, out: Path, shape: tuple[int, ...] | None = None, seed: int = 0) -> Path:
    write_network(model, out, shape, tuning=Tuning(enabled=False), seed=seed)  # type: ignore[arg-type]
    return out


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The line that says why the command refuses."""
    assert run(["evaluate", *map(str, arguments)]) == 2
    *progress, line = capsys.readouterr().err.splitlines()
    assert [own.partition("] ")[2] for own in progress] in ([], ["Evaluate: 40"])
    return line


def test_both_accuracies_are_those_over_the_whole_test_set(place):
    found = evaluate(place / "result", data=place / "data", tune=False, threads=1)
    images = load_whole(place / "data", torch.device("cpu"), SHAPE)[1]
    expected = accuracy(loopwright.load(place / "result"), images)
    assert found.compiled is not None
    assert found.pytorch.accuracy == found.compiled.accuracy == pytest.approx(expected)
    assert (found.pytorch.images, found.different) == (len(images), 0)
    assert (found.compiled.batch, found.compiled.where) == (1, "cpu, 1 thread")
    assert min(found.pytorch.images_per_second, found.compiled.images_per_second) > 0


def test_several_images_at_once_need_not_divide_the_test_set(place):
    one = evaluate(place / "result", data=place / "data", tune=False)
    three = evaluate(place / "result", data=place / "data", tune=False, batch=3)
    assert one.compiled is not None
    assert three.compiled is not None
    assert three.compiled.batch == 3
    assert three.compiled.right == one.compiled.right


def test_an_artefact_says_itself_how_many_images_it_takes(place, tmp_path):
    module = loopwright.load(place / "result")
    three = library(module, tmp_path / "three.so", (3, 3, 8, 8))
    found = [evaluate(place / "result", data=place / "data", artefact=own) for own in (place / "net.so", three)]
    assert [own.compiled and own.compiled.batch for own in found] == [1, 3]
    assert found[0].compiled is not None
    assert found[0].compiled.where.startswith(f"{place / 'net.so'}, ")
    assert {own.compiled and own.compiled.right for own in found} == {found[0].pytorch.right}


def test_images_are_normalised_as_the_network_was_trained(place, tmp_path):
    shown = evaluate(place / "result", data=place / "data", compiled=False)
    assert shown.normalisation == load_whole(place / "data", torch.device("cpu"), SHAPE)[1].normalisation
    trained = tmp_path / "trained"
    trained.mkdir()
    for file in (place / "result").iterdir():
        (trained / file.name).write_bytes(file.read_bytes())
    facts = {"normalisation": {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}}
    (trained / "training.json").write_text(json.dumps(facts))
    assert evaluate(trained, data=place / "data", compiled=False).normalisation == Normalisation(
        (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    )
    given = Normalisation((0.5, 0.5, 0.5), (1.0, 1.0, 1.0))
    assert evaluate(trained, data=place / "data", compiled=False, normalisation=given).normalisation == given


def test_a_part_of_the_images_is_always_the_same(place):
    found = [evaluate(place / "result", data=place / "data", compiled=False, images=10) for _ in range(2)]
    assert [own.pytorch.images for own in found] == [10, 10]
    assert found[0].pytorch.right == found[1].pytorch.right


def test_weights_are_taken_from_a_file(place, tmp_path):
    model = f"{place / 'small.py'}:small"
    torch.save(resolve(model, SHAPE).build(7).state_dict(), tmp_path / "net.pt")
    found = [
        evaluate(model, SHAPE, data=place / "data", compiled=False, **own)
        for own in ({"weights": tmp_path / "net.pt"}, {"seed": 7})
    ]
    assert found[0].pytorch.right == found[1].pytorch.right


@pytest.mark.parametrize(("wrong", "agree"), [(0, True), (1, True), (2, False), (3, False)])
def test_accuracies_may_lie_a_tenth_of_a_point_or_an_image_apart(place, monkeypatch, capsys, wrong, agree):
    def with_wrong(forms: list[Form], images: EvaluationImages, *_: object) -> list[Predictions]:
        """All images in the right class by PyTorch, and some in another one by the compiled network."""
        found = [images.labels.copy() for _ in forms]
        found[1][:wrong] = (found[1][:wrong] + 1) % small.CLASSES
        return [Predictions(form, own, 1.0) for form, own in zip(forms, found, strict=True)]

    monkeypatch.setattr(evaluating, "predictions", with_wrong)
    arguments = (place / "result", "--data", place / "data", "--artefact", place / "net.so")
    if agree:
        assert run(["evaluate", *map(str, arguments)]) == 0
        return
    line = refusal(capsys, *arguments)
    assert (
        f"small.py:small is right on {100 - 2.5 * wrong:.2f} % of the images as it is compiled, and on 100.00 %" in line
    )
    assert "at most 0.1 points are expected between them, over 40 images" in line


def test_the_command_shows_accuracy_and_speed_of_both(place, capsys):
    arguments = ["evaluate", str(place / "result"), "--data", str(place / "data"), "--artefact", str(place / "net.so")]
    assert run(arguments) == 0, capsys.readouterr().err
    images, pytorch, compiled, agreement = capsys.readouterr().out.splitlines()
    assert images == "images     40 test images"
    assert pytorch.startswith("PyTorch    ")
    assert pytorch.endswith(" images/s (cpu, 250 at once)")
    assert compiled.startswith("compiled   ")
    assert compiled.endswith(", 1 at once)")
    assert agreement == "agreement  0 images in another class"
    assert run([*arguments, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["pytorch"]["accuracy"] == facts["compiled"]["accuracy"]
    assert facts["compiled"]["images"] == 40


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 3], "no test image has label 2; the network has classes 0 to 3"),
        ([0, 1, 2], "the test images have 3 classes, the network 4; both have to agree"),
        ([0, 1, 2, 3, 4], "the test images have label 4, the network only 4 classes"),
    ],
)
def test_other_classes_than_the_network_has(place, tmp_path, capsys, labels, message):
    small.write_data(tmp_path)
    small.write_split(tmp_path / "test.parquet", np.array(labels * 3))
    assert refusal(capsys, place / "result", "--data", tmp_path) == f"error: {message}"


def test_every_class_is_enough():
    require_all(3, np.array([1, 0, 2, 2]), "test")
    with pytest.raises(DataError, match="no test image has label 0"):
        require_all(3, np.array([1, 2]), "test")


def test_images_of_another_size(place, tmp_path, capsys):
    data = small.write_data(tmp_path / "data", size=12)
    line = refusal(capsys, place / "result", "--data", data)
    assert "row 0 is 12x12, the network takes 8x8; have images resized (--resize)" in line
    assert run(["evaluate", str(place / "result"), "--data", str(data), "--no-compiled", "--resize"]) == 0


@pytest.mark.parametrize("unlabelled", ["no column", "nothing", "-1"])
def test_images_without_labels(place, tmp_path, capsys, unlabelled):
    small.write_data(tmp_path)
    table = pq.read_table(tmp_path / "test.parquet")
    labels = table["label"].to_pylist()
    labels[5] = None if unlabelled == "nothing" else -1
    table = table.drop_columns("label")
    if unlabelled != "no column":
        table = table.append_column("label", pa.array(labels, pa.int64()))
    pq.write_table(table, tmp_path / "test.parquet")
    line = refusal(capsys, place / "result", "--data", tmp_path)
    expected = "no integer label column" if unlabelled == "no column" else "row 5 has no label; images need a class"
    assert expected in line


def test_data_without_test_images(place, tmp_path, capsys):
    small.write_data(tmp_path)
    (tmp_path / "test.parquet").unlink()
    assert "holds no test images" in refusal(capsys, place / "result", "--data", tmp_path)


def test_artefacts_of_other_networks_or_shapes(place, tmp_path, capsys):
    evaluated = (place / "result", "--data", place / "data")
    model = f"{place / 'small.py'}:small"
    other = library(model, tmp_path / "other.so", SHAPE)
    assert "small.py:small with these weights: it differs from PyTorch by" in refusal(
        capsys, *evaluated, "--artefact", other
    )
    large = library(model, tmp_path / "large.so", (1, 3, 16, 16))
    line = refusal(capsys, *evaluated, "--artefact", large)
    assert line.endswith(f"{large} takes 1×3×16×16, not 1×3×8×8 as {model}; compile it again")
    line = refusal(capsys, *evaluated, "--artefact", place / "net.so", "--batch", 4)
    assert line.endswith(f"net.so takes 1×3×8×8, not 4×3×8×8 as {model}; compile it again")


def test_artefacts_that_are_none(place, tmp_path, capsys):
    evaluated = (place / "result", "--data", place / "data", "--artefact")
    assert "there is no file none.so" in refusal(capsys, *evaluated, "none.so")
    (tmp_path / "text.so").write_text("text")
    assert "text.so is no shared library that compile wrote" in refusal(capsys, *evaluated, tmp_path / "text.so")
    assert "leave out --no-compiled" in refusal(capsys, *evaluated, place / "net.so", "--no-compiled")


def test_folders_without_a_result_and_networks_without_scores(place, tmp_path, capsys):
    data = ("--data", place / "data")
    assert "holds no network.json" in refusal(capsys, tmp_path, *data)
    line = refusal(capsys, f"{place / 'small.py'}:scoreless", *data, *INPUT)
    assert "an accuracy needs class scores of shape (N, classes)" in line


def test_a_damaged_record_of_the_training_is_named(place, tmp_path, capsys):
    for file in (place / "result").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "training.json").write_text("{}")
    line = refusal(capsys, tmp_path, "--data", place / "data")
    assert "training.json is damaged ('normalisation'); train again, or remove it" in line
