"""Tables of one's own: what is in them, that they go on where they stopped, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import loopwright
from loopwright.errors import ArgumentError, DataError, TrainingError
from loopwright.ir.contraction import operator_form
from loopwright.legality.capacity import Table
from loopwright.models.trace import trace
from loopwright.operators import parse
from loopwright.search.deliver import ChangedLayer, NetworkSpec, built, save
from loopwright.search.progress import SilentProgress
from loopwright.search.space import Choice, Drawn, SearchSpace
from loopwright.training.calibration import _size, spread_out
from loopwright.training.short import Outcome, Trainer
from loopwright.transformations import TransformationSequence

SAMPLE = Path("src/loopwright/models/sample")
NETWORKS = 8


class Small(nn.Module):
    """Two convolutions that can be transformed, behind one that keeps the first reading of all pixels."""

    def __init__(self, classes: int = 10):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(4),
            nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, classes),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


@pytest.fixture(autouse=True)
def learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings here are of one step, in which little is learnt."""
    monkeypatch.setattr("loopwright.training.calibration.LEARNT", -1000.0)


def small(classes: int = 10) -> nn.Module:
    torch.manual_seed(0)
    return Small(classes)


class Counted:
    """Counts the trainings, and interrupts before one more than ``most``."""

    def __init__(self, most: int = 1000):
        self.trained, self.most, self.train = 0, most, Trainer.train

    def __call__(self, trainer: Trainer, module: nn.Module, seed: int) -> Outcome:
        if self.trained == self.most:
            raise KeyboardInterrupt
        self.trained += 1
        return self.train(trainer, module, seed)


def calibrated(folder: Path, name: str = "table.csv", module: nn.Module | None = None, **options: object) -> Table:
    shape = (1, 3, 32, 32)
    given = {"epochs": 1, "networks": NETWORKS, "data": SAMPLE, "images": 100, **options}
    return loopwright.calibrate(module or small(), shape, out=folder / name, store=folder / "store.db", **given)


def test_a_table_holds_the_original_and_as_many_networks_as_were_asked_for(tmp_path: Path) -> None:
    module = small()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    table = calibrated(tmp_path, module=module)
    assert len(table.networks) == NETWORKS
    assert table.original.drop == 0
    assert table.original.scores["macs"] == max(own.scores["macs"] for own in (table.original, *table.networks))
    assert len({tuple(own.scores.items()) for own in table.networks}) == NETWORKS
    assert all(own.error > table.original.error > 0 for own in table.networks)
    read = Table.read(tmp_path / "table.csv")
    assert [own.id for own in read.networks] == [own.id for own in table.networks]
    assert read.drops == pytest.approx(table.drops, abs=1e-3)
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


def chosen_folder(folder: Path, module: nn.Module, sequence: str) -> Path:
    """A result in which the first layer that can change takes the sequence."""
    network = trace(module, torch.zeros(1, 3, 32, 32))
    layer = network.transformable[0].name
    spec = NetworkSpec("", (1, 3, 32, 32), {layer: ChangedLayer(str(network.operator(layer)), sequence)})
    folder.mkdir()
    save(folder, spec, built(spec, module)[1])
    return folder


def test_networks_that_were_chosen_can_be_trained_too(tmp_path: Path) -> None:
    module = small()
    folder = chosen_folder(tmp_path / "mine", module, "bottleneck(co, 2)")
    table = calibrated(tmp_path, module=module, include=[folder])
    assert [own.id for own in table.networks] == ["mine", *(f"n{number:03}" for number in range(NETWORKS))]
    assert table.networks[0].scores["macs"] < table.original.scores["macs"]
    without = calibrated(tmp_path, "without.csv", module=module)
    assert without.networks == table.networks[1:]


def test_what_is_included_has_to_be_of_the_network_and_named_differently(tmp_path: Path) -> None:
    folder = chosen_folder(tmp_path / "mine", small(), "bottleneck(co, 2)")
    (tmp_path / "other").mkdir()
    other = chosen_folder(tmp_path / "other" / "mine", small(), "bottleneck(co, 4)")
    with pytest.raises(ArgumentError, match="two folders to include are named 'mine'"):
        calibrated(tmp_path, include=[folder, other])
    with pytest.raises(ArgumentError, match="holds no network.json"):
        calibrated(tmp_path, include=[tmp_path / "other"])
    for name in ("original", "n001", "my own"):
        folder.rename(tmp_path / name)
        folder = tmp_path / name
        with pytest.raises(ArgumentError, match=f"'{name}' can't be a name in the table"):
            calibrated(tmp_path, include=[folder])


def test_the_original_is_not_included_as_a_candidate(tmp_path: Path) -> None:
    folder = tmp_path / "same"
    folder.mkdir()
    spec = NetworkSpec("", (1, 3, 32, 32), {})
    save(folder, spec, built(spec, small())[1])
    with pytest.raises(ArgumentError, match="holds the original network"):
        calibrated(tmp_path, include=[folder])


def test_an_interrupted_calibration_trains_nothing_twice_and_ends_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, whole = Counted(most=5), Counted(), Counted()
    monkeypatch.setattr(Trainer, "train", lambda *given: first(*given))
    with pytest.raises(KeyboardInterrupt):
        calibrated(tmp_path)
    assert [path.name for path in tmp_path.glob("*.csv")] == []
    monkeypatch.setattr(Trainer, "train", lambda *given: second(*given))
    resumed = calibrated(tmp_path)
    monkeypatch.setattr(Trainer, "train", lambda *given: whole(*given))
    (tmp_path / "other").mkdir()
    uninterrupted = calibrated(tmp_path / "other")
    assert first.trained + second.trained == whole.trained
    assert resumed == uninterrupted


def test_networks_that_train_too_slowly_are_replaced_by_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, slow = Trainer.train, [4, 6]
    count = Counted()

    def sometimes(trainer: Trainer, module: nn.Module, seed: int) -> Outcome:
        count.trained += 1
        return Outcome(None, None, None, 900.0, 1.0) if count.trained in slow else train(trainer, module, seed)

    monkeypatch.setattr(Trainer, "train", sometimes)
    assert len(calibrated(tmp_path).networks) == NETWORKS
    assert count.trained == 3 + NETWORKS + len(slow)


def test_the_first_trainings_are_of_the_original_and_progress_counts_them_all(tmp_path: Path) -> None:
    class Watched(SilentProgress):
        def __init__(self) -> None:
            self.done, self.total, self.name, self.notes = 0, 0, "", list[str]()

        def stage(self, name: str, total: int | None = None) -> None:
            self.name, self.done, self.total = name, 0, total or 0

        def advance(self, n: int = 1) -> None:
            self.done += n

        def note(self, text: str) -> None:
            self.notes.append(text)

    progress = Watched()
    calibrated(tmp_path, progress=progress)
    assert (progress.name, progress.done, progress.total) == ("Train", 3 + NETWORKS, 3 + NETWORKS)
    assert progress.notes[0].startswith("the original reaches ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"networks": 3}, "3 networks are too few to learn from; train at least 8"),
        ({"epochs": 0}, "0 epochs train nothing"),
        ({"device": "tpu"}, "there is no device 'tpu'"),
        ({"name": "missing/table.csv"}, "the folder .*missing does not exist"),
        ({"module": nn.Flatten()}, "no convolution"),
    ],
)
def test_wrong_arguments_are_refused_and_leave_nothing(
    tmp_path: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        calibrated(tmp_path, **options)
    assert list(tmp_path.glob("*.csv")) == []


def test_a_table_that_exists_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("mine")
    with pytest.raises(ArgumentError, match=r"table\.csv exists already; name a new file"):
        calibrated(tmp_path)
    assert (tmp_path / "table.csv").read_text() == "mine"


def test_labels_without_a_class_and_folders_without_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the images have label 9, the network only 4 classes"):
        calibrated(tmp_path, module=small(classes=4))
    with pytest.raises(DataError, match="does not exist"):
        calibrated(tmp_path, data=tmp_path / "nowhere")


def test_an_original_that_has_learnt_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loopwright.training.calibration.LEARNT", 3.0)
    with pytest.raises(ArgumentError, match=r"the same answer to all for .* it has learnt too little"):
        calibrated(tmp_path)
    assert list(tmp_path.glob("*.csv")) == []


def test_a_candidate_that_takes_too_much_memory_is_replaced_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, count = Trainer.train, Counted()

    def without_memory(trainer: Trainer, module: nn.Module, seed: int) -> Outcome:
        count.trained += 1
        if count.trained == large:
            raise torch.OutOfMemoryError
        return train(trainer, module, seed)

    monkeypatch.setattr(Trainer, "train", without_memory)
    large = 4
    assert len(calibrated(tmp_path).networks) == NETWORKS
    count.trained, large = 0, 1
    with pytest.raises(TrainingError, match="the memory of cpu does not suffice to train the original"):
        calibrated(tmp_path, "other.csv", small(11))


def test_any_first_few_candidates_cover_all_sizes() -> None:
    sizes = [-0.01 * number for number in range(1, 91)] + [-3.0]  # most change little, one nearly all
    names = [{"layer": number} for number in range(len(sizes))]
    order = spread_out(names, [np.array([size, 0.0]) for size in sizes])  # type: ignore[arg-type]
    taken = sorted(sizes[int(own["layer"])] for own in order[:5])  # type: ignore[call-overload]
    assert taken[0] == -3.0
    assert max(np.diff([*taken, 0.0])) < 2.2  # 2.1 are empty
    assert max(np.diff([*taken[1:], 0.0])) < 0.46
    assert len(order) == len(names)
    assert spread_out([], []) == []


def test_sizes_are_shares_of_the_originals() -> None:
    original, half = (parse(f"conv2d(co={co}, ci=8, oh=4, ow=4, kh=3, kw=3)") for co in (8, 4))
    choices = [Choice(TransformationSequence(), operator_form(own.nest())) for own in (original, half)]
    space = SearchSpace({"a": str(original), "b": str(original)}, {str(original): tuple(choices)}, Drawn())
    assert _size(space, {}).tolist() == [0, 0]
    assert np.exp(_size(space, {"a": choices[1]})) == pytest.approx([0.75, 0.75])
