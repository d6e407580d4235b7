"""Kernels on tensor cores against PyTorch, run on the host (`tests.lowering.cuda.on_host`), and what NVIDIA's compiler
makes of them."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from loopwright.ir.contraction import OperatorForm
from loopwright.lowering.axes import as_image
from loopwright.lowering.epilogue import Epilogue
from loopwright.lowering.kernel import build_kernel
from loopwright.lowering.schedules.backend import backend_of
from loopwright.lowering.schedules.cuda.tensor.packing import rounded_to_bf16, rounded_to_tf32
from loopwright.lowering.schedules.cuda.tensor.schedule import FACTORS, TensorSchedule
from loopwright.lowering.schedules.cuda.tensor.variants import VARIANTS_AT_MOST, variants
from loopwright.measurement import tolerances
from loopwright.targets.cuda import cuda
from tests.lowering.cuda.on_host import on_host, source_of
from tests.lowering.cuda.test_code import PAPER, verified
from tests.lowering.cuda.test_kernel import EPILOGUE, OPERATORS, TARGET, agreement, form_of

SMALL = TensorSchedule("tf32", 16, 32, pixel_warps=2)
SCHEDULES = (
    SMALL,
    TensorSchedule("tf32", 64, 32, taps=3),
    TensorSchedule("tf32", 32, 32, share=2, taps=3, stages=2),
    TensorSchedule("tf32", 8, 32, pixel_warps=2, share=2, taps=9, stages=4),
    TensorSchedule("tf32", 24, 32, pixel_warps=2, channel_warps=2, depth=2, taps=1, stages=4),
)
PRECISIONS = tuple(FACTORS)
WHOLE = "conv2d(co=32, ci=32, oh=4, ow=8, kh=3, kw=3)"
CASES = {
    **{name: OPERATORS[name] for name in ("strided", "1x1", "dilated", "linear")},
    "odd sizes": "conv2d(co=7, ci=16, oh=5, ow=7, kh=3, kw=3)",
    "5x5": "conv2d(co=20, ci=16, oh=4, ow=4, kh=5, kw=5)",
    "strided 1x1": "conv2d(co=16, ci=32, oh=4, ow=4, kh=1, kw=1, stride=2)",
}
TRANSFORMED = (
    "reorder(ci, co) -> bottleneck(ci, 2)",
    "reorder(oh, ow) -> bottleneck(oh, 2)",
    "partition(co, 16) -> on s0: bottleneck(co, 2)",
)


def error(form: OperatorForm, n: int, epilogue: Epilogue, schedule: TensorSchedule, folder: Path) -> float:
    kernel = build_kernel(form, n, epilogue, TARGET, schedule)
    return agreement(form, n, epilogue).error(kernel, on_host(kernel.primfunc, TARGET, folder))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", CASES)
def test_an_operator_equals_pytorch(name: str, precision: str, tmp_path: Path):
    schedule = replace(SMALL, precision=precision)
    assert 1e-7 < error(form_of(CASES[name]), 3, EPILOGUE, schedule, tmp_path) < tolerances.KERNEL[precision]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_every_schedule_gives_the_same(schedule: TensorSchedule, precision: str, tmp_path: Path):
    schedule = replace(schedule, precision=precision)
    assert error(form_of(WHOLE), 2, Epilogue(shift=True), schedule, tmp_path) < tolerances.KERNEL[precision]
    assert TensorSchedule.parse(str(schedule)) == backend_of(TARGET).parse(str(schedule)) == schedule


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("sequence", TRANSFORMED)
def test_a_transformed_operator_equals_its_pytorch_module(sequence: str, precision: str, tmp_path: Path):
    schedule = replace(SMALL, precision=precision)
    assert error(form_of(WHOLE, sequence), 2, EPILOGUE, schedule, tmp_path) < tolerances.KERNEL[precision]


def test_bfloat16_is_further_from_float32_than_tf32(tmp_path: Path):
    """By eight times: it has three bits of the fraction less, and both are rounded to the nearest or nearly so."""
    narrow, narrower = (
        error(form_of(WHOLE), 2, Epilogue(), replace(SMALL, precision=own), tmp_path) for own in PRECISIONS
    )
    assert 2 * narrow < narrower < 16 * narrow


@pytest.mark.parametrize("name", ["grouped", "depthwise", "odd"])
def test_other_forms_have_no_variants(name: str):
    assert not any(variants(as_image(form_of(OPERATORS[name])).form, TARGET, 128, own) for own in PRECISIONS)


def test_weights_are_rounded_to_the_nearest():
    values = np.array([1.0, 1 + 2**-11, 1 + 2**-12, -1 - 2**-11], np.float32)
    assert rounded_to_tf32(values).tolist() == [1.0, 1 + 2**-10, 1.0, -1 - 2**-10]
    halves = rounded_to_bf16(np.array([1.0, 1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8 - 2**-20, 3e38], np.float32))
    rounded = (halves.astype(np.uint32) << 16).view(np.float32)
    assert rounded.tolist()[:4] == [1.0, 1.0, 1 + 2**-6, -1 - 2**-7]
    assert rounded[4] == pytest.approx(3e38, rel=2**-8)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("operator", "architecture"), [(PAPER[0], "sm_80"), (PAPER[1], "sm_90")])
def test_all_variants_fit_by_tvm_s_verification(operator: str, architecture: str, precision: str):
    target, form = cuda(architecture), form_of(operator)
    found = variants(as_image(form).form, target, 128, precision)
    assert 0 < len(found) == len(set(found)) <= VARIANTS_AT_MOST
    for schedule in found[:2]:
        primfunc = build_kernel(form, 128, Epilogue(shift=True), target, schedule).primfunc
        assert verified(primfunc, target, target.gpu.shared_bytes), schedule


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="NVIDIA's compiler is not installed")
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
def test_sums_stay_in_registers(architecture: str, precision: str, tmp_path: Path):
    target, form = cuda(architecture), form_of(PAPER[0])
    schedule = variants(as_image(form).form, target, 128, precision)[0]
    said = compiled(
        source_of(build_kernel(form, 128, EPILOGUE, target, schedule).primfunc, target), target.processor, tmp_path
    )
    spilled = re.findall(r"(\d+) bytes spill stores", said)
    assert spilled
    assert max(map(int, spilled)) == 0


def compiled(source: str, architecture: str, folder: Path) -> str:
    """What NVIDIA's compiler says of the registers of a source."""
    path = folder / "kernel.cu"
    path.write_text(source)
    command = [
        "nvcc",
        f"-arch={architecture}",
        "-cubin",
        "-Xptxas=-v",
        str(path),
        "-o",
        str(path.with_suffix(".cubin")),
    ]
    return subprocess.run(command, check=True, capture_output=True, text=True).stderr
