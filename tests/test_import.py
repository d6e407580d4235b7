from __future__ import annotations

import subprocess
import sys

import pytest

import loopwright

HEAVY = ("torch", "tvm", "plotly", "matplotlib", "pyarrow", "islpy", "numpy", "ray")


def loaded(code: str) -> set[str]:
    """The heavy packages that a fresh interpreter has loaded after ``code``."""
    script = f"{code}\nimport sys\nprint('loaded:', *(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("loaded:")[2].split())


def test_the_package_loads_nothing_heavy():
    assert loaded("import loopwright") == set()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["optimize", "--help"],
        ["benchmark", "--help"],
        ["transform", "--help"],
        ["report", "--help"],
    ],
)
def test_help_and_version_load_nothing_heavy(arguments: list[str]):
    assert loaded(f"from loopwright.cli.main import run\nrun({arguments!r})") == set()


def test_a_transformation_without_a_model_loads_no_framework():
    arguments = ["transform", "--operator", "conv2d(co=8, ci=8, oh=4, ow=4, kh=3, kw=3)", "group(co, ci, 2)"]
    assert loaded(f"from loopwright.cli.main import run\nrun({arguments!r})") & {"torch", "tvm", "plotly"} == set()


def test_store_and_report_load_no_framework():
    assert loaded("import loopwright.store, loopwright.report.page") & {"torch", "tvm"} == set()


@pytest.mark.parametrize("name", loopwright.__all__)
def test_every_public_name_is_there(name: str):
    assert getattr(loopwright, name) is not None
    assert name in dir(loopwright)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'optimise'"):
        _ = loopwright.optimise
