"""Training from Python: what is written, what is gone on with, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import loopwright
from loopwright.errors import ArgumentError, DataError, LoopwrightError, StoreError, TrainingError
from loopwright.lowering.transformed import transformed
from loopwright.models.trace import trace
from loopwright.search import events
from loopwright.search.deliver import ChangedLayer, NetworkSpec, save
from loopwright.training import train as training
from loopwright.training.accuracy import accuracy
from loopwright.training.images import load_whole
from tests.training.small import FACTORY, write_data, write_network, write_split

SHAPE = (1, 3, 8, 8)
SEQUENCES = {"4": "group(co, ci, 2)", "8": "bottleneck(ci, 2)"}
FAST = {"batch": 16, "rate": 0.1}


def small(width: int = 8, classes: int = 4) -> nn.Module:
    names: dict[str, Any] = {}
    exec(FACTORY, names)
    torch.manual_seed(0)
    return names["small"](width, classes)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture
def model(tmp_path: Path) -> str:
    return f"{write_network(tmp_path)}:small"


@pytest.fixture
def optimized(tmp_path: Path, model: str) -> Path:
    """A folder as `optimize` writes it."""
    network = trace(small(), torch.zeros(SHAPE))
    operators = {layer.name: str(layer.operator) for layer in network.transformable}
    spec = NetworkSpec(model, SHAPE, {name: ChangedLayer(operators[name], text) for name, text in SEQUENCES.items()})
    folder = tmp_path / "optimized"
    folder.mkdir()
    save(folder, spec, transformed(network, {name: layer.form for name, layer in spec.layers.items()}))
    return folder


class Interrupted:
    """A callback that interrupts after so many epochs."""

    def __init__(self, epochs: int):
        self._left = epochs

    def __call__(self, event: events.Event) -> None:
        if isinstance(event, events.EpochTrained):
            self._left -= 1
            if self._left == 0:
                raise KeyboardInterrupt


@pytest.fixture
def interrupted(tmp_path: Path, model: str, data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A training that was interrupted in its third epoch of 5, with a checkpoint."""
    monkeypatch.setattr(training, "CHECKPOINT_EVERY_S", 0.0)
    out = tmp_path / "interrupted"
    with pytest.raises(KeyboardInterrupt):
        loopwright.train(model, SHAPE, data=data, epochs=5, out=out, callbacks=[Interrupted(3)], **FAST)
    return out


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def same(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().items(), second.state_dict().items(), strict=True)
    return all(name == other and torch.equal(own, theirs) for (name, own), (other, theirs) in pairs)


def test_a_model_is_trained_into_a_folder_that_loads(tmp_path: Path, model: str, data: Path) -> None:
    out = tmp_path / "out"
    found = loopwright.train(model, SHAPE, data=data, epochs=8, out=out, **FAST)
    assert found.folder == out
    assert found.images == "40 test images"
    assert found.accuracy > 60
    loaded = loopwright.load(out)
    assert same(loaded, found.module)
    test = load_whole(data, torch.device("cpu"), SHAPE)[1]
    assert accuracy(loaded, test) == found.accuracy
    assert sorted(content(out)) == ["network.json", "training.csv", "training.json", "weights.safetensors"]
    rows = (out / "training.csv").read_text().splitlines()
    assert rows[0] == "epoch,steps,rate,loss,accuracy"
    assert [row.split(",")[:2] for row in rows[1:]] == [[str(1 + n), str(6 + 6 * n)] for n in range(8)]
    result = json.loads((out / "training.json").read_text())
    assert (result["accuracy"], result["resumed"]) == (found.accuracy, 0)
    assert result["arguments"]["epochs"] == 8
    assert repr(found) == f"<Trained for 8 epochs, {found.accuracy:.2f} % of 40 test images in {out}>"


def test_a_folder_keeps_its_layers_and_gets_new_weights(optimized: Path, data: Path) -> None:
    before = content(optimized)
    found = loopwright.train(optimized, data=data, epochs=4, **FAST)
    after = content(optimized)
    assert after["network.json"] == before["network.json"]
    assert after["weights.safetensors"] != before["weights.safetensors"]
    assert same(loopwright.load(optimized), found.module)
    again = loopwright.train(optimized, data=data, epochs=1, **FAST)
    assert len(again.curve) == 1
    assert (optimized / "training.csv").read_text().count("\n") == 2


def test_modules_stay_as_they_are_and_need_no_folder(data: Path) -> None:
    module, untouched = small(), small()
    found = loopwright.train(module, SHAPE, data=data, epochs=1, **FAST)
    assert same(module, untouched)
    assert found.folder is None
    assert not same(found.module, module)


def test_the_seed_determines_everything(model: str, data: Path) -> None:
    first, second, other = (
        loopwright.train(model, SHAPE, data=data, epochs=2, seed=seed, **FAST) for seed in (1, 1, 2)
    )
    assert first.curve == second.curve != other.curve
    assert same(first.module, second.module)


def test_held_out_training_images_take_the_place_of_test_images(tmp_path: Path, model: str) -> None:
    folder = write_data(tmp_path / "mine")
    (folder / "test.parquet").write_text("nobody reads this")
    found = loopwright.train(model, SHAPE, data=folder, epochs=1, validate=True, **FAST)
    assert found.images == "10 held-out training images"


def test_an_interrupted_training_goes_on_and_ends_the_same(
    interrupted: Path, tmp_path: Path, model: str, data: Path
) -> None:
    with pytest.raises(ArgumentError, match=r"interrupted is not finished; go on with loopwright train --resume"):
        loopwright.load(interrupted)
    with pytest.raises(ArgumentError, match="holds a training that is not finished; go on with loopwright train"):
        loopwright.train(model, SHAPE, data=data, epochs=5, out=interrupted)
    found = loopwright.resume_training(interrupted)
    whole = loopwright.train(model, SHAPE, data=data, epochs=5, out=tmp_path / "whole", **FAST)
    assert found.curve == whole.curve
    assert same(found.module, whole.module)
    for name in ("weights.safetensors", "training.csv", "network.json"):
        assert (interrupted / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    with pytest.raises(ArgumentError, match="the training in .*interrupted is finished"):
        loopwright.resume_training(interrupted)


def test_an_interrupted_training_of_a_folder_leaves_its_weights(
    optimized: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_EVERY_S", 0.0)
    before = content(optimized)
    with pytest.raises(KeyboardInterrupt):
        loopwright.train(optimized, data=data, epochs=4, callbacks=[Interrupted(2)], **FAST)
    assert content(optimized) == before
    loopwright.load(optimized)
    with pytest.raises(ArgumentError, match="holds a training that is not finished"):
        loopwright.train(optimized, data=data, epochs=4)
    assert len(loopwright.resume_training(optimized).curve) == 4


def test_a_training_goes_on_after_its_results_were_put_in_place(
    optimized: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was ended between the last file and the end."""

    def ended(_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(training.TrainingFolder, "_remove_work", ended)
        with pytest.raises(KeyboardInterrupt):
            loopwright.train(optimized, data=data, epochs=2, **FAST)
    before = content(optimized)
    loopwright.resume_training(optimized)
    assert content(optimized)["weights.safetensors"] == before["weights.safetensors"]
    assert content(optimized)["training.csv"] == before["training.csv"]
    assert not (optimized / ".training").exists()


def test_a_module_goes_on_when_it_is_given_again(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_EVERY_S", 0.0)
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        loopwright.train(small(), SHAPE, data=data, epochs=3, out=out, callbacks=[Interrupted(1)], **FAST)
    with pytest.raises(ArgumentError, match=r"go on with loopwright.resume_training\('.*out', module\)"):
        loopwright.resume_training(out)
    with pytest.raises(ArgumentError, match="began with another network"):
        loopwright.resume_training(out, small(16))
    found = loopwright.resume_training(out, small())
    assert found.curve == loopwright.train(small(), SHAPE, data=data, epochs=3, **FAST).curve
    assert same(loopwright.load(out, small()), found.module)


def flipped(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)


@pytest.mark.parametrize("damage", [flipped, lambda path: path.write_bytes(path.read_bytes()[:-100]), Path.touch])
def test_a_damaged_checkpoint_is_refused_and_can_be_removed(interrupted: Path, damage: Callable[[Path], None]) -> None:
    path = interrupted / ".training" / "checkpoint"
    if damage is Path.touch:
        path.write_bytes(b"")
    damage(path)
    with pytest.raises(ArgumentError, match="checkpoint is damaged; remove it, and the training begins anew"):
        loopwright.resume_training(interrupted)
    path.unlink()
    assert len(loopwright.resume_training(interrupted).curve) == 5


def test_the_checkpoint_of_another_training_is_refused(
    interrupted: Path, tmp_path: Path, model: str, data: Path
) -> None:
    other = tmp_path / "other"
    with pytest.raises(KeyboardInterrupt):
        loopwright.train(model, SHAPE, data=data, epochs=5, seed=1, out=other, callbacks=[Interrupted(1)], **FAST)
    shutil.copy(other / ".training" / "checkpoint", interrupted / ".training" / "checkpoint")
    with pytest.raises(ArgumentError, match="checkpoint is of another training; remove it"):
        loopwright.resume_training(interrupted)


def test_other_images_or_another_network_are_not_gone_on_with(interrupted: Path, tmp_path: Path, data: Path) -> None:
    moved = shutil.copytree(data, tmp_path / "moved")
    with pytest.raises(ArgumentError, match="began with other images; train again"):
        loopwright.resume_training(interrupted, data=write_data(tmp_path / "others", train=95))
    (tmp_path / "small.py").write_text(FACTORY.replace("width=8", "width=12"))
    with pytest.raises(ArgumentError, match="began with another network; train again"):
        loopwright.resume_training(interrupted)
    (tmp_path / "small.py").write_text(FACTORY)
    assert len(loopwright.resume_training(interrupted, data=moved).curve) == 5


def test_where_the_images_are_now_is_kept(
    interrupted: Path, tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    moved = shutil.copytree(data, tmp_path / "moved")
    with monkeypatch.context() as patched:
        patched.setattr(training, "_run", interrupt)
        with pytest.raises(KeyboardInterrupt):
            loopwright.resume_training(interrupted, data=moved)
    assert json.loads((interrupted / ".training" / "request.json").read_text())["arguments"]["data"] == str(moved)
    assert len(loopwright.resume_training(interrupted).curve) == 5


def test_two_processes_do_not_train_one_folder(interrupted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from loopwright.search import run_folder

    monkeypatch.setattr(run_folder, "LOCK_PATIENCE_S", 0.0)
    with run_folder.locked(interrupted, interrupted), pytest.raises(ArgumentError, match="another process works on"):
        loopwright.resume_training(interrupted)


def test_a_damaged_request_is_refused(interrupted: Path) -> None:
    request = interrupted / ".training" / "request.json"
    request.write_text(request.read_text()[:100])
    with pytest.raises(ArgumentError, match=r"request.json is damaged .*train again"):
        loopwright.resume_training(interrupted)


@pytest.mark.parametrize("given", ["file", "folder"])
def test_a_folder_without_a_training_is_refused(tmp_path: Path, given: str) -> None:
    if given == "folder":
        (tmp_path / "empty").mkdir()
    with pytest.raises(ArgumentError, match="holds no training|there is no folder"):
        loopwright.resume_training(tmp_path / "empty")


def test_a_loss_that_is_no_number_ends_the_training_and_leaves_nothing(
    optimized: Path, model: str, data: Path, tmp_path: Path
) -> None:
    before = content(optimized)
    message = r"the loss is no number in epoch 1 of 3; train with a lower rate \(--rate\)"
    with pytest.raises(TrainingError, match=message):
        loopwright.train(optimized, data=data, epochs=3, batch=16, rate=1e20)
    assert content(optimized) == before
    assert not (optimized / ".training").exists()
    with pytest.raises(TrainingError, match=message):
        loopwright.train(model, SHAPE, data=data, epochs=3, batch=16, rate=1e20, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_without_memory_for_the_evaluation_the_training_can_go_on(
    tmp_path: Path, model: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> float:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(training, "accuracy", full)
    folder = tmp_path / "trained"
    with pytest.raises(TrainingError, match="go on with loopwright train --resume"):
        loopwright.train(model, SHAPE, data=data, epochs=2, out=folder, **FAST)
    monkeypatch.setattr(training, "accuracy", accuracy)
    assert len(loopwright.resume_training(folder).curve) == 2


def test_a_full_disk_is_an_error_that_says_how_to_go_on(interrupted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise ArgumentError("checkpoint can't be written (No space left on device)")

    with monkeypatch.context() as patched:
        patched.setattr("loopwright.training.folder.write_checkpoint", full)
        with pytest.raises(StoreError, match="No space left on device.*then go on with loopwright train --resume"):
            loopwright.resume_training(interrupted)
    assert len(loopwright.resume_training(interrupted).curve) == 5


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"classes": 6}, "the images have label 5, the network only 4 classes"),
        ({"classes": 3}, "the training images have 3 classes, the network 4; both have to agree"),
        ({"size": 16}, r"train.parquet, row 0 is 16x16, the network takes 8x8; have images resized \(--resize\)"),
        ({"train": 12}, "12 training images in .* are too few"),
    ],
)
def test_data_sets_that_do_not_fit_are_refused(tmp_path: Path, model: str, given: dict[str, int], message: str) -> None:
    folder, out = write_data(tmp_path / "mine", **given), tmp_path / "out"
    with pytest.raises(DataError, match=message):
        loopwright.train(model, SHAPE, data=folder, epochs=1, out=out)
    assert not out.exists()


def test_a_missing_class_is_named(tmp_path: Path, model: str) -> None:
    folder = write_data(tmp_path / "mine")
    write_split(folder / "train.parquet", np.array([0, 1, 3] * 20))
    with pytest.raises(DataError, match="no training image has label 2; the network has classes 0 to 3"):
        loopwright.train(model, SHAPE, data=folder, epochs=1)


def test_other_sizes_are_resized_when_asked_for(tmp_path: Path, model: str) -> None:
    folder = write_data(tmp_path / "mine", size=16)
    assert loopwright.train(model, SHAPE, data=folder, epochs=1, resize=True).accuracy >= 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "0 epochs train nothing"),
        ({"batch": 1}, "a batch of 1 is too small"),
        ({"rate": -1.0}, "a rate of -1 is none"),
        ({"rate": float("nan")}, "a rate of nan is none"),
        ({"cutout": -1}, "a cutout of -1 pixels"),
        ({"device": "cuda:77"}, "there is no device 'cuda:77'"),
        ({"weights": "missing.pt"}, "there is no file .*missing.pt"),
        ({"distill": "missing.pt"}, "there is no file .*missing.pt"),
        ({"data": "nowhere"}, "nowhere does not exist"),
    ],
)
def test_wrong_arguments_leave_nothing(
    tmp_path: Path, model: str, data: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(LoopwrightError, match=message):
        loopwright.train(model, SHAPE, out=tmp_path / "out", **{"data": data, "epochs": 1, **options})
    assert not (tmp_path / "out").exists()


def test_what_a_folder_says_itself_is_refused(optimized: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="leave out the example input"):
        loopwright.train(optimized, SHAPE, data=data, epochs=1)
    with pytest.raises(ArgumentError, match="leave out --out"):
        loopwright.train(optimized, data=data, epochs=1, out=tmp_path / "out")
    (optimized / "network.json").unlink()
    with pytest.raises(ArgumentError, match=r"holds no network.json"):
        loopwright.train(optimized, data=data, epochs=1)


def test_networks_without_class_scores_are_refused(tmp_path: Path, data: Path) -> None:
    scoreless = f"{write_network(tmp_path)}:scoreless"
    with pytest.raises(ArgumentError, match=r"the network returns \(1, 8, 6, 6\); an accuracy needs class scores"):
        loopwright.train(scoreless, SHAPE, data=data, epochs=1)


def test_weights_of_the_original_are_inherited(tmp_path: Path, optimized: Path, model: str, data: Path) -> None:
    original = loopwright.train(model, SHAPE, data=data, epochs=12, out=tmp_path / "original", **FAST)
    kept = shutil.copytree(optimized, tmp_path / "kept")
    torch.save(original.module.state_dict(), tmp_path / "original.pt")
    scratch = loopwright.train(optimized, data=data, epochs=2, **FAST)
    for number, weights in enumerate((tmp_path / "original", tmp_path / "original.pt")):
        folder = shutil.copytree(kept, tmp_path / f"inheriting{number}")
        found = loopwright.train(folder, data=data, epochs=2, weights=weights, **FAST)
        assert found.curve[-1].loss < scratch.curve[-1].loss
    again = loopwright.train(kept, data=data, epochs=1, weights=folder, batch=96, rate=1e-9)
    assert torch.allclose(again.module[4].weight_0, found.module[4].weight_0, atol=1e-6)  # type: ignore[index]


def test_weights_of_another_network_are_refused_by_name(
    tmp_path: Path, optimized: Path, model: str, data: Path
) -> None:
    torch.save(small(16).state_dict(), tmp_path / "wide.pt")
    for what in (optimized, model):
        shape = None if what == optimized else SHAPE
        with pytest.raises(ArgumentError, match=r"its '0.weight' is 16x3x3x3, the network's 8x3x3x3"):
            loopwright.train(what, shape, data=data, epochs=1, weights=tmp_path / "wide.pt")
    with pytest.raises(ArgumentError, match=r"it has no '4.weight' 8x8x3x3"):
        loopwright.train(model, SHAPE, data=data, epochs=1, weights=optimized)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_teacher_is_learnt_from_and_resumed_with(
    tmp_path: Path, optimized: Path, model: str, data: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_EVERY_S", 0.0)
    original = loopwright.train(model, SHAPE, data=data, epochs=6, out=tmp_path / "original", **FAST)
    torch.save({"model": original.module.state_dict()}, tmp_path / "teacher.pt")
    teacher = tmp_path / ("teacher.pt" if kind == "file" else "original")
    kept = shutil.copytree(optimized, tmp_path / "kept")
    whole = loopwright.train(kept, data=data, epochs=3, distill=teacher, **FAST)
    assert (
        whole.curve != loopwright.train(shutil.copytree(optimized, tmp_path / "b"), data=data, epochs=3, **FAST).curve
    )
    with pytest.raises(KeyboardInterrupt):
        loopwright.train(optimized, data=data, epochs=3, distill=teacher, callbacks=[Interrupted(1)], **FAST)
    assert loopwright.resume_training(optimized).curve == whole.curve


def test_teachers_need_the_same_classes(tmp_path: Path, model: str, data: Path) -> None:
    other = write_data(tmp_path / "five", classes=5)
    teacher = tmp_path / "teacher"
    loopwright.train(small(8, 5), SHAPE, data=other, epochs=1, out=teacher)
    spec = json.loads((teacher / "network.json").read_text())
    (tmp_path / "five.py").write_text(FACTORY.replace("classes=4", "classes=5"))
    (teacher / "network.json").write_text(json.dumps(spec | {"model": f"{tmp_path / 'five.py'}:small"}))
    with pytest.raises(ArgumentError, match="the teacher has 5 classes, the network 4; both have to agree"):
        loopwright.train(model, SHAPE, data=data, epochs=1, distill=teacher)


def test_callbacks_are_told_of_every_epoch(model: str, data: Path) -> None:
    told: list[events.Event] = []
    found = loopwright.train(model, SHAPE, data=data, epochs=3, callbacks=[told.append], **FAST)
    epochs = [event for event in told if isinstance(event, events.EpochTrained)]
    assert [(event.epoch, event.loss, event.rate) for event in epochs] == [
        (row.epoch, row.loss, row.rate) for row in found.curve
    ]
    assert [event.stage for event in told if isinstance(event, events.StageBegan)] == ["Load", "Train", "Evaluate"]
    assert epochs[-1].seconds_left == 0
    last = [event for event in told if isinstance(event, events.Advanced)][-1]
    assert (last.done, last.total) == (18, 18)
