"""Other machines' processors: their data, and the code that is generated for them."""

from __future__ import annotations

import re

import pytest

from loopwright import api, targets
from loopwright.errors import ArgumentError
from loopwright.ir.contraction import operator_form
from loopwright.lowering.epilogue import Epilogue
from loopwright.lowering.kernel import build_kernel
from loopwright.measurement.build import assembly
from loopwright.operators import parse
from loopwright.targets.cpu import cpu
from loopwright.targets.processors import PROCESSORS, require_runnable

CODE = {
    "cpu-avx512": r"vfmadd\w+ps\s.*zmm",
    "cpu-avx2": r"vfmadd\w+ps\s.*ymm",
    "cpu-neon": r"fmla\s+v\d+\.4s",
}
"""A fused multiply-add of whole vectors, in each instruction set."""

OPERATORS = (
    "conv2d(co=32, ci=32, oh=8, ow=8, kh=3, kw=3)",
    "conv2d(co=32, ci=32, oh=8, ow=8, kh=3, kw=3, groups=2)",
    "conv2d(co=32, ci=32, oh=8, ow=8, kh=3, kw=3, groups=32)",
    "conv2d(co=32, ci=64, oh=8, ow=8, stride=2)",
    "linear(co=32, ci=64)",
)


def test_every_processor_has_code_to_be_looked_for() -> None:
    assert PROCESSORS.keys() == CODE.keys()


@pytest.mark.parametrize("name", PROCESSORS)
def test_caches_grow_and_the_machine_is_told_to_llvm(name: str) -> None:
    target = targets.named(name)
    assert target.l1_bytes < target.l2_bytes
    assert target.tvm_target["mtriple"] == target.triple
    assert target.triple.endswith("-linux-gnu")


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("name", PROCESSORS)
def test_kernels_compile_to_its_multiply_adds(name: str, operator: str) -> None:
    target = targets.named(name)
    form = operator_form(parse(operator).nest())
    kernel = build_kernel(form, 1, Epilogue(shift=True, relu=True), target)
    assert len(re.findall(CODE[name], assembly(kernel.primfunc, target))) >= 8


def test_the_host_runs_its_own_code() -> None:
    require_runnable(cpu())


def test_code_for_another_machine_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    with pytest.raises(ArgumentError, match="code for cpu-neon does not run on this processor; take target=cpu"):
        api.optimize("resnet18", target="cpu-neon")
    with pytest.raises(ArgumentError, match="code for cuda-sm_80 needs an NVIDIA GPU of sm_80, and there is none"):
        require_runnable(targets.named("cuda-sm_80"))


def test_instructions_that_the_host_lacks_are_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr("loopwright.targets.processors.processor_flags", lambda _: frozenset({"avx2", "fma"}))
    require_runnable(targets.named("cpu-avx2"))
    with pytest.raises(ArgumentError, match="cpu-avx512 does not run"):
        require_runnable(targets.named("cpu-avx512"))
