from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from loopwright import __version__
from loopwright.cli.main import run

DENSE = "conv2d(co=8, ci=8, oh=4, ow=4, kh=3, kw=3)"


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line with which the command refuses."""
    assert run(arguments) == 2
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.startswith("error: ")
    assert written.err.count("\n") == 1
    return written.err


def test_the_version_is_printed(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"loopwright {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_lists_the_commands(capsys, arguments: list[str]):
    assert run(arguments) == 0
    written = capsys.readouterr().out
    assert all(command in written for command in ("optimize", "inspect", "transform", "discover", "benchmark"))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["optimise"], "No such command 'optimise'"),
        (["optimize"], "Missing argument 'MODEL'"),
        (["optimize", "resnet34"], "Missing option '--out'"),
        (["optimize", "resnet34", "--out", "x", "--fast"], "No such option: --fast"),
        (["optimize", "resnet34", "--out", "x", "--configurations", "0"], "greater than or equal to 1"),
        (
            ["optimize", "resnet34", "--out", "x", "--input", "3,32"],
            "--input '3,32' is not a shape; give four positive",
        ),
        (["optimize", "resnet34", "--out", "x", "--input", "1,3,0,32"], "four positive integers"),
        (["transform", "group(co, ci, 2)"], "give MODEL --layer NAME 'SEQUENCE', or --operator"),
        (["transform", "resnet34", "group(co, ci, 2)"], "give MODEL --layer NAME 'SEQUENCE', or --operator"),
        (["transform", "resnet34", "identity", "--operator", DENSE], "without MODEL and --layer"),
        (["transform", "--operator", DENSE, "group(co, ci"], "at character 13: group(co, ci»"),
        (
            ["transform", "--operator", DENSE, "grop(co, ci, 2)"],
            "unknown transformation 'grop'; known: bind, bottleneck",
        ),
        (["transform", "--operator", DENSE, "group(co, ci, 3)"], "3 does not divide the 8 iterations of loop 'co'"),
        (["transform", "--operator", DENSE, "split(oc, 2)"], "no loop 'oc'; its loops are n, co, ci, oh, ow, kh, kw"),
        (["transform", "--operator", "conv4d(co=8)", "identity"], "unknown operator 'conv4d'; known: "),
        (
            ["optimize", "resnet34", "--out", "x", "--target", "cuda"],
            "code for cuda needs an NVIDIA GPU of sm_90, and there is none; take target=cpu",
        ),
        (
            ["optimize", "resnet34", "--out", "x", "--precision", "tf32"],
            "tf32 needs the tensor cores of an NVIDIA GPU of sm_80 or later, which target cpu has not; take precision",
        ),
        (["compile", "resnet34", "-o", "x.so", "--target", "cuda-sm_75", "--precision", "tf32"], "target cuda-sm_75"),
        (["evaluate", "resnet34", "--data", "x", "--precision", "tf32"], "which target cpu has not"),
        (["benchmark", "resnet34", "--precision", "half"], "unknown precision 'half'; known: bf16, float32, tf32"),
        (["discover"], "Missing option '--operator'"),
        (["discover", "--operator", "conv2d(co=8"], "at character 12: conv2d(co=8»"),
        (["discover", "--operator", DENSE, "--max-steps", "0"], "greater than or equal to 1"),
        (["discover", "--operator", DENSE, "--factors", "2,1"], "--factors '2,1' must be integers of at least 2"),
        (["discover", "--operator", DENSE, "--factors", "two"], "--factors 'two' must be integers of at least 2"),
        (["discover", "--operator", DENSE, "--csv", "nowhere/all.csv"], "there is no folder nowhere"),
        (["benchmark", "resnet43"], "unknown model 'resnet43'; known: "),
        (
            ["benchmark", "resnet34", "--peers", "eager,tflite"],
            "unknown peer 'tflite'; known: compile, eager, loopwright",
        ),
        (["benchmark", "resnet34", "--peers", "metaschedule"], "peer 'metaschedule' tunes; say how many trials it has"),
        (["benchmark", "resnet34", "--target", "cuda"], "code for cuda needs an NVIDIA GPU of sm_90"),
        (["benchmark", "resnet34", "--csv", "nowhere/all.csv"], "there is no folder nowhere"),
        (["benchmark", "resnet34", "--rounds", "0"], "greater than or equal to 1"),
        (["inspect", "resnet43"], "unknown model 'resnet43'; known: "),
        (["inspect", "nowhere/net.py:make", "--input", "1,3,8,8"], "there is no file nowhere/net.py"),
    ],
)
def test_bad_input_is_answered_in_one_line(capsys, arguments: list[str], expected: str):
    assert expected in refusal(capsys, *arguments)


def test_a_folder_that_holds_a_run_is_refused(capsys, tmp_path: Path):
    (tmp_path / "network.json").write_text("{}")
    assert "already holds a run" in refusal(capsys, "optimize", "resnet34", "--out", str(tmp_path))


def test_a_folder_that_holds_something_else_is_refused(capsys, tmp_path: Path):
    (tmp_path / "thesis.tex").write_text("")
    assert "is not empty" in refusal(capsys, "optimize", "resnet34", "--out", str(tmp_path))


def test_a_file_is_no_folder(capsys, tmp_path: Path):
    (tmp_path / "file").write_text("")
    assert "is a file" in refusal(capsys, "optimize", "resnet34", "--out", str(tmp_path / "file"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["optimize", "resnet34", "--out", "new", "--store"],
        ["optimize", "resnet34", "--out", "new", "--configurations"],
        ["optimize"],
    ],
)
def test_a_password_in_an_address_is_never_shown(capsys, arguments: list[str]):
    error = refusal(capsys, *arguments, "postgresql://ann:s3cr/t@127.0.0.1:port/team?sslpassword=s3cr/t")
    assert "s3cr/t" not in error


COMMAND = """
import sys, typer
from loopwright.cli import app, main
@app.app.command("tell")
def tell(context: typer.Context, store: str) -> None:
    print(context.obj)
sys.exit(main.run(["tell", "postgresql://ann:s3 c@et@h/team"]))
"""


def test_the_command_that_reports_keep_has_no_password():
    done = subprocess.run([sys.executable, "-c", COMMAND], capture_output=True, text=True, check=True)
    assert done.stdout == "loopwright tell 'postgresql://ann:***@h/team'\n"


INTERRUPTED = """
import sys, time
from loopwright.cli import app, main
@app.app.command("wait")
def wait() -> None:
    print("waiting", flush=True)
    time.sleep(30)
sys.exit(main.run(["wait"]))
"""


def test_an_interruption_is_one_line_and_exit_code_130():
    child = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "waiting\n"
    os.kill(child.pid, signal.SIGINT)
    _, error = child.communicate(timeout=10)
    assert child.returncode == 130
    assert error.startswith("interrupted")
    assert error.count("\n") == 1
