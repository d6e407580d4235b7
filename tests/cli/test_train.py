from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from loopwright.cli.main import run
from loopwright.training import train as training
from tests.training.small import SHAPE, write_data, write_network

pytestmark = pytest.mark.usefixtures("one_thread")
RUN = "import sys; from loopwright.cli.main import run; sys.exit(run(sys.argv[1:]))"


@pytest.fixture
def given(tmp_path: Path) -> list[str]:
    """A model with its data, for the folder ``out``."""
    write_data(tmp_path / "data")
    options = ["--input", SHAPE, "--batch", "16", "--rate", "0.1", "--out", str(tmp_path / "out")]
    return ["train", f"{write_network(tmp_path)}:small", "--data", str(tmp_path / "data"), *options]


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert run(arguments) == 2
    written = capsys.readouterr()
    assert written.out == ""
    [line] = [line for line in written.err.splitlines() if not line.startswith("[")]
    return line


def test_train_prints_the_accuracy_and_what_it_wrote(capsys, given: list[str], tmp_path: Path):
    out = tmp_path / "out"
    assert run([*given, "--epochs", "6"]) == 0
    written = capsys.readouterr()
    loss, accuracy, wrote = written.out.splitlines()
    assert loss.endswith(" in the last of 6 epochs")
    assert accuracy.endswith(" % of 40 test images")
    assert wrote == f"wrote     {out}: weights.safetensors, training.csv, training.json"
    assert "epoch 1/6: loss " in written.err
    assert " left\n" in written.err
    assert "Train 36/36" in written.err
    data = str(tmp_path / "data")
    assert run(["train", str(out), "--data", data, "--epochs", "2", "--json", "--progress", "json"]) == 0
    written = capsys.readouterr()
    found = json.loads(written.out)
    assert (found["folder"], len(found["curve"])) == (str(out), 2)
    assert sum('"epoch_trained"' in line for line in written.err.splitlines()) == 2


def test_an_interrupt_says_how_to_go_on(capsys, given: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(training, "accuracy", interrupt)
        assert run([*given, "--epochs", "2", "--progress", "none"]) == 130
    assert capsys.readouterr().err == f"interrupted; go on with loopwright train --resume {out}\n"
    assert "is not finished; go on with loopwright train --resume" in refusal(capsys, "compile", str(out), "-o", "x.so")
    assert "leave out --epochs" in refusal(capsys, "train", "--resume", str(out), "--epochs", "3")
    assert "leave out MODEL" in refusal(capsys, "train", "x", "--resume", str(out))
    assert run(["train", "--resume", str(out)]) == 0
    assert refusal(capsys, "train", "--resume", str(out)) == f"error: the training in {out} is finished"


def test_a_real_interrupt_ends_with_130_and_one_line(given: list[str], tmp_path: Path):
    command = [sys.executable, "-c", RUN, *given, "--epochs", "10000"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "epoch 2/" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        lines = process.stderr.read().splitlines()
    assert process.returncode == 130
    assert [line for line in lines if not line.startswith("[")] == [
        f"interrupted; go on with loopwright train --resume {tmp_path / 'out'}"
    ]


def test_an_interrupt_before_the_training_leaves_nothing(capsys, given: list[str], tmp_path: Path, monkeypatch):
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "load_whole", interrupt)
    assert run([*given, "--epochs", "2"]) == 130
    assert "go on with" not in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_missing_and_wrong_arguments_are_refused_in_one_line(capsys, given: list[str], tmp_path: Path):
    command, model, *_ = given
    data = ["--data", str(tmp_path / "data")]
    assert "Missing argument 'FOLDER_OR_MODEL'; to go on with a training, give --resume" in refusal(capsys, command)
    assert "Missing option '--data'" in refusal(capsys, command, model)
    assert "Missing option '--epochs'" in refusal(capsys, *given)
    assert "Missing option '--out'" in refusal(capsys, command, model, *data, "--epochs", "1")
    assert "there is no folder" in refusal(capsys, "train", "--resume", str(tmp_path / "nowhere"))
    assert "holds no network.json" in refusal(capsys, "train", str(tmp_path), *data, "--epochs", "1")
    assert "the loss is no number in epoch 1" in refusal(capsys, *given, "--epochs", "1", "--rate", "1e20")
    assert not (tmp_path / "out").exists()
