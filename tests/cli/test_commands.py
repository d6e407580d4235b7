from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from loopwright.cli.main import run
from loopwright.report.page import write_report
from loopwright.report.serialisation import from_json
from loopwright.report.tables import speedup_line
from tests.report.example import example_run

NET = """
from torch import nn

def tiny():
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10),
    )
"""


@pytest.fixture
def model(tmp_path: Path) -> list[str]:
    (tmp_path / "net.py").write_text(NET)
    return [f"{tmp_path / 'net.py'}:tiny", "--input", "1,3,8,8"]


def output(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(arguments) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def test_inspect_lists_every_layer_with_its_workload_or_why_it_is_kept(capsys, model):
    written = output(capsys, "inspect", *model)
    assert "conv2d(co=16, ci=16, oh=8, ow=8, kh=3, kw=3)" in written
    assert "linear" in written
    assert "2 of them transformable, 2 different workloads" in written


def test_inspect_prints_one_nest(capsys, model):
    written = output(capsys, "inspect", *model, "--layer", "2")
    assert written.startswith("conv2d(co=16, ci=16")
    assert "for ci in 16:" in written


def test_inspect_prints_the_nest_of_every_workload(capsys, model):
    assert output(capsys, "inspect", *model, "--nests").count("s0: output[") == 2


def test_transform_shows_the_operator_before_and_after(capsys):
    written = output(
        capsys, "transform", "--operator", "conv2d(co=8, ci=8, oh=4, ow=4, kh=3, kw=3)", "group(co, ci, 2)"
    )
    before, after = written.split("after group(co, ci, 2)")
    assert "for co in 8:" in before
    assert "for g in 2:" in after
    assert "MACs         9,216 -> 4,608 (2.00x fewer)" in after
    assert "parameters   576 -> 288 (2.00x fewer)" in after
    assert "dependences  legal" in after
    assert "judged within a network only" in after


def test_transform_may_hold_sums_to_their_order(capsys):
    operator = "conv2d(co=4, ci=4, oh=4, ow=4, kh=3, kw=3)"
    assert "dependences  legal" in output(capsys, "transform", "--operator", operator, "reorder(kh, co)")
    strict = output(capsys, "transform", "--strict", "--operator", operator, "reorder(kh, co)")
    assert "dependences  illegal: a reduction dependence is reversed; from instance (" in strict


def test_transform_judges_marks(capsys):
    operator = "conv2d(co=4, ci=4, oh=4, ow=4, kh=3, kw=3)"
    legal = output(capsys, "transform", "--operator", operator, "parallel(co)")
    assert "  for co in 4:  # parallel\n" in legal
    assert "no marked loop carries one" in legal
    raced = output(capsys, "transform", "--operator", operator, "parallel(ci)")
    assert (
        "dependences  illegal: a reduction dependence is carried by loop 'ci' of s0, which is marked parallel" in raced
    )


def test_transform_judges_a_layer_within_its_network(capsys, model):
    written = output(capsys, "transform", *model, "--layer", "2", "--images", "8", "group(co, ci, 2)")
    assert "structure    legal: receptive field kept" in written
    assert "Fisher Potential" in written.rsplit("fisher ", 1)[1]


def test_transform_judges_no_capacity_where_nothing_is_dropped(capsys, model):
    written = output(capsys, "transform", *model, "--layer", "2", "split(co, 4)")
    assert "MACs         147,456 -> 147,456\n" in written
    assert "structure" not in written


def test_layers_that_the_search_keeps_are_transformed_alone(capsys, model):
    assert "linear(co=10, ci=16)" in output(capsys, "inspect", *model)
    assert output(capsys, "inspect", *model, "--layer", "6").startswith("linear(co=10, ci=16)")
    written = output(capsys, "transform", *model, "--layer", "6", "group(co, ci, 2)")
    assert "parameters   160 -> 80 (2.00x fewer)" in written
    assert "capacity     not judged: linear: the search transforms two-dimensional convolutions only" in written


def test_a_layer_without_loop_nest_is_refused_with_the_reason(capsys, model):
    assert run(["transform", *model, "--layer", "1", "group(co, ci, 2)"]) == 2
    assert "layer '1' has no loop nest: relu: " in capsys.readouterr().err


def test_discover_lists_operators_with_their_shortest_sequences(capsys, tmp_path: Path):
    operator, file = "conv2d(co=8, ci=8, oh=4, ow=4, kh=3, kw=3)", tmp_path / "all.csv"
    bounds = ("--max-steps", "2", "--workers", "1", "--top", "1")
    written = output(capsys, "discover", "--operator", operator, *bounds, "--csv", str(file))
    table, _, summary = written.partition(f"{operator}: at most 2 steps")
    for line in ("untransformed", "grouped(4)", "group(co, ci, 4)", "spatial_group(2)", "reorder(co, oh, ci)"):
        assert line in table
    assert table.count(" new ") == 1
    assert "distinct operators: " in summary
    assert "known, but not within these bounds: " in summary
    rows = file.read_text().splitlines()
    assert rows[0] == "name,macs,parameters,macs_share,parameters_share,steps,sequence"
    assert rows[1] == "untransformed,9216,576,1.0,1.0,0,identity"
    assert f"{len(rows) - 1} distinct operators" in summary


def test_optimize_hands_its_arguments_over_and_ends_with_the_speedup(capsys, monkeypatch, tmp_path: Path):
    given = {}

    def optimize(model, example_input, *, progress, **settings):
        progress.note("36 convolutions")
        given.update(settings, model=model, example_input=example_input)
        return SimpleNamespace(summary=example_run())

    monkeypatch.setitem(sys.modules, "loopwright.api", SimpleNamespace(optimize=optimize))
    out = tmp_path / "my run"
    written = output(capsys, "optimize", "resnet34", "--out", str(out), "--input", "2,3,32,32", "--images", "16")
    assert given == {
        "model": "resnet34",
        "example_input": (2, 3, 32, 32),
        "target": "cpu",
        "precision": "float32",
        "out": out,
        "data": None,
        "strategy": "exact",
        "configurations": 1000,
        "operators": 400,
        "seconds": None,
        "parameters": 1.0,
        "images": 16,
        "seed": 0,
        "device": None,
        "legality": "calibrated",
        "tolerance": 1.0,
        "calibration": None,
        "weights": None,
        "store": None,
        "workers": None,
        "retry_failures": False,
        "ray": None,
        "kernels": None,
        "command": f"loopwright optimize resnet34 --out '{out}' --input 2,3,32,32 --images 16",
    }
    for expected in ("layer1.0.conv1", "legal by capacity", "2.82× faster", f"report: {out / 'report.html'}"):
        assert expected in written
    assert written.splitlines()[-1] == speedup_line(example_run())


@pytest.fixture
def optimized(monkeypatch) -> None:
    """`loopwright optimize` without a search: it tells of one stage and gives the invented run."""

    def optimize(*_: object, progress, **__: object):
        progress.stage("Judge", 2)
        progress.advance(2)
        return SimpleNamespace(summary=example_run())

    monkeypatch.setitem(sys.modules, "loopwright.api", SimpleNamespace(optimize=optimize))


@pytest.mark.usefixtures("optimized")
def test_optimize_for_a_machine_prints_the_summary_and_events_as_json(capsys, tmp_path: Path):
    options = ["--json", "--progress", "json"]
    assert run(["optimize", "resnet34", "--out", str(tmp_path / "run"), *options]) == 0
    written = capsys.readouterr()
    assert from_json(written.out) == example_run()
    events = [json.loads(line) for line in written.err.splitlines()]
    assert [event["event"] for event in events] == ["stage_began", "advanced"]
    assert {"stage": "Judge", "done": 2, "total": 2}.items() <= events[1].items()
    assert all(event["time"].endswith("+00:00") for event in events)


@pytest.mark.usefixtures("optimized")
def test_optimize_may_be_silent(capsys, tmp_path: Path):
    assert run(["optimize", "resnet34", "--out", str(tmp_path / "run"), "--progress", "none"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("optimized")
def test_optimize_logs_to_a_file_that_can_be_written_or_says_so(capsys, tmp_path: Path):
    out = str(tmp_path / "run")
    assert run(["optimize", "resnet34", "--out", out, "--log", str(tmp_path / "run.log")]) == 0
    assert (tmp_path / "run.log").exists()
    capsys.readouterr()
    assert run(["optimize", "resnet34", "--out", out, "--log", str(tmp_path / "no" / "run.log")]) == 2
    assert "run.log can't be written (No such file or directory)" in capsys.readouterr().err


def test_inspect_for_a_machine_prints_one_json_object(capsys, model):
    found = json.loads(output(capsys, "inspect", *model, "--json"))
    assert found["input_shape"] == [1, 3, 8, 8]
    convolution = found["layers"][0]
    assert convolution["operator"].startswith("conv2d(co=16, ci=3")
    assert convolution["transformable"] is True
    assert sum(layer["macs"] for layer in found["layers"]) == found["macs"]


@pytest.fixture
def two_runs(tmp_path: Path) -> tuple[Path, Path]:
    for seed, name in enumerate(("first", "second")):
        write_report(example_run(seed), tmp_path / name)
    return tmp_path / "first", tmp_path / "second"


def test_report_writes_the_page_of_a_run_again(capsys, two_runs: tuple[Path, Path]):
    page = two_runs[0] / "report.html"
    before = page.read_bytes()
    page.unlink()
    assert output(capsys, "report", str(two_runs[0])) == f"report: {page}\n"
    assert page.read_bytes() == before


def test_report_compares_runs(capsys, two_runs: tuple[Path, Path], tmp_path: Path):
    page = tmp_path / "both.html"
    assert output(capsys, "report", *map(str, two_runs), "-o", str(page)) == f"comparison: {page}\n"
    assert "2 runs" in page.read_text()


def test_report_refuses_what_is_no_run_in_one_line(capsys, two_runs: tuple[Path, Path], tmp_path: Path):
    first, second = map(str, two_runs)
    for arguments, message in (
        ([str(tmp_path)], "holds no run"),
        ([first, str(tmp_path / "third")], "there is no folder"),
        ([first, first], f"{first} is named twice; name each run once"),
        ([first, "-o", "x.html"], f"--out is for comparing runs; of one run, the report is {first}/report.html"),
        ([first, second, "-o", str(tmp_path / "no" / "x.html")], "there is no folder"),
    ):
        assert run(["report", *arguments]) == 2
        written = capsys.readouterr()
        assert message in written.err
        assert (written.out, written.err.count("\n")) == ("", 1)
