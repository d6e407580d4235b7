"""Kernels built by many processes, and loaded by another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from loopwright.ir.contraction import operator_form
from loopwright.lowering.epilogue import Epilogue
from loopwright.lowering.kernel import schedules
from loopwright.measurement import tolerances
from loopwright.measurement.agreement import Agreement
from loopwright.measurement.kernel_files import Builders, KernelFiles, Wanted, write_kernel
from loopwright.measurement.timer import Protocol
from loopwright.measurement.tune import tune_checked
from loopwright.operators import parse
from loopwright.targets.cpu import cpu
from loopwright.targets.target import FLOAT32

TARGET = cpu(threads=1)
FORM = operator_form(parse("conv2d(co=16, ci=16, oh=4, ow=4, kh=3, kw=3)").nest())
WANTED = [Wanted(FORM, 1, Epilogue(), TARGET, schedule) for schedule in schedules(FORM, TARGET)[:3]]


@pytest.fixture
def builders(tmp_path: Path) -> Iterator[Builders]:
    own = Builders(KernelFiles(tmp_path))
    yield own
    own.close()


def test_kernels_are_built_side_by_side_and_loaded(builders: Builders):
    assert list(builders.build(WANTED)) == WANTED
    first = {path: path.stat().st_mtime_ns for path in builders.files.folder.iterdir()}
    assert list(builders.build(WANTED)) == WANTED
    assert {path: path.stat().st_mtime_ns for path in builders.files.folder.iterdir()} == first
    agreement = Agreement.of(FORM, 1, Epilogue(), TARGET)
    for own in WANTED:
        compiled = builders.files.load(own)
        assert compiled is not None
        assert agreement.error(own.kernel(), compiled) < tolerances.KERNEL[FLOAT32]


def test_after_they_were_closed_others_build(builders: Builders):
    list(builders.build(WANTED[:1]))
    builders.close()
    assert list(builders.build(WANTED)) == WANTED
    assert builders.files.load(WANTED[1]) is not None


def test_a_kernel_is_told_from_all_others():
    [first, *_] = WANTED
    others = [
        replace(first, n=2),
        replace(first, epilogue=Epilogue(relu=True)),
        replace(first, target=replace(TARGET, processor="other")),
        replace(first, target=replace(TARGET, precision="tf32")),
        WANTED[1],
    ]
    assert len({own.key for own in [first, *others]}) == 1 + len(others)


def test_what_cannot_be_built_is_not_there(tmp_path: Path):
    wrong = replace(WANTED[0], target=replace(TARGET, kind="no such compiler"))
    write_kernel(wrong, tmp_path / "kernel.so")
    assert list(tmp_path.iterdir()) == []
    assert KernelFiles(tmp_path).load(wrong) is None


def test_built_kernels_are_timed_without_a_compiler(builders: Builders, monkeypatch: pytest.MonkeyPatch):
    list(builders.build(WANTED))
    monkeypatch.setattr("loopwright.measurement.tune.compile_function", None)
    choices = [own.schedule for own in WANTED]
    protocol = Protocol(rounds=2, sample_ms=0.1)
    found = tune_checked(FORM, 1, Epilogue(), TARGET, protocol, choices, 60.0, builders.files)
    assert {found.schedule, *(schedule for schedule, _ in found.others)} == set(choices)
