"""Kernels built ahead for a GPU that is elsewhere, and found by a search."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

import loopwright
from loopwright import targets
from loopwright.errors import ArgumentError
from loopwright.measurement import kernel_files
from loopwright.measurement.kernel_files import Wanted
from loopwright.models.trace import trace
from loopwright.search.budget import Budget
from loopwright.search.progress import SilentProgress
from loopwright.search.run import Settings, built_ahead, drawn_offer
from loopwright.search.stages import Stages
from loopwright.search.timing import OperatorLatencies
from loopwright.search.tuning import protocol_for
from loopwright.store import Store

TARGET, SHAPE, OPERATORS = "cuda-sm_90", (1, 16, 4, 4), 2


def small() -> nn.Module:
    """One layer that can change."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.ReLU()).eval()


def write(wanted: Wanted, path: Path) -> None:
    """In place of NVIDIA's compiler."""
    path.write_text(str(wanted.schedule))


@pytest.fixture
def without_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_files, "write_kernel", write)
    monkeypatch.setattr("loopwright.building.require_compiler", lambda: None)


def searched(folder: Path) -> list[Wanted]:
    """What a search on the GPU asks for, which finds what is there."""
    network, hardware = trace(small(), torch.zeros(SHAPE)), targets.named(TARGET)
    stages, settings = Stages(SilentProgress()), Settings(budget=Budget(operators=OPERATORS), kernels=folder)
    with (
        Store.open(folder.parent / "store.sqlite") as store,
        OperatorLatencies(1, hardware, store, protocol_for(network), kernels=folder) as latencies,
    ):
        return built_ahead(drawn_offer(network, random.Random(0), settings, latencies, stages), latencies, stages)


@pytest.mark.usefixtures("without_compiler")
def test_a_search_finds_all_that_was_built(tmp_path: Path) -> None:
    folder = tmp_path / "some" / "kernels"
    built = loopwright.build(small(), SHAPE, target=TARGET, out=folder, operators=OPERATORS)
    files = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert built.there == built.wanted == len(files) > OPERATORS
    asked = searched(folder)
    assert {folder / f"{own.key}.so" for own in asked} == files.keys()
    assert loopwright.build(small(), SHAPE, target=TARGET, out=folder, operators=OPERATORS) == built
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == files


@pytest.mark.usefixtures("without_compiler")
def test_what_cannot_be_built_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_files, "write_kernel", fail)
    built = loopwright.build(small(), SHAPE, target=TARGET, out=tmp_path / "kernels", operators=OPERATORS)
    assert built.there == 0 < built.wanted


def fail(wanted: Wanted, path: Path) -> None:
    """As `write_kernel` does for what the compiler refuses: no file."""


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="NVIDIA's compiler is not installed")
def test_nvidia_s_compiler_builds_for_a_gpu_that_is_not_here(tmp_path: Path) -> None:
    built = loopwright.build(small(), SHAPE, target=TARGET, out=tmp_path / "kernels", operators=1)
    assert built.there == built.wanted > 0


@pytest.mark.parametrize(
    ("target", "folder", "message"),
    [
        ("cpu", "kernels", "kernels are kept for GPUs alone, and target cpu is none; leave kernels out"),
        (TARGET, "file/kernels", "can't be a folder of kernels: Not a directory; name another"),
        (TARGET, "file", "can't be a folder of kernels: File exists; name another"),
        (TARGET, "kernels", "there is no no-nvcc to compile code for the GPU"),
        ("cuda-sm_75", "kernels", "bf16 needs the tensor cores"),
    ],
)
def test_wrong_arguments_are_refused(
    target: str, folder: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr("loopwright.targets.nvidia.COMPILER", "no-nvcc")
    precision = "bf16" if target == "cuda-sm_75" else "float32"
    with pytest.raises(ArgumentError, match=message):
        loopwright.build(small(), SHAPE, target=target, out=tmp_path / folder, precision=precision)


def test_kernels_are_for_gpus(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="kernels are kept for GPUs alone"):
        loopwright.optimize(
            nn.Conv2d(3, 16, 3), (1, 3, 8, 8), kernels=tmp_path / "kernels", out=tmp_path / "out", store=tmp_path / "s"
        )
    assert not (tmp_path / "out").exists()
