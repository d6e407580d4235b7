"""What is generated for GPUs: it passes TVM's own verification for each architecture, and NVIDIA's compiler keeps its
tiles in registers."""

from __future__ import annotations

import re
import shutil
import subprocess
from itertools import product
from pathlib import Path

import pytest
import tvm
from tvm import tirx
from tvm.s_tir.analysis import verify_gpu_code
from tvm.s_tir.transform import LowerOpaqueBlock, UnifyThreadBinding

from loopwright.lowering.epilogue import Epilogue
from loopwright.lowering.kernel import build_kernel, schedules
from loopwright.lowering.schedules.cuda.schedule import CudaSchedule
from loopwright.targets.cuda import ARCHITECTURES, cuda
from loopwright.targets.target import Target
from tests.lowering.cuda.on_host import source_of
from tests.lowering.cuda.test_kernel import EPILOGUE, OPERATORS, SEQUENCES, form_of

PAPER = ("conv2d(co=64, ci=64, oh=32, ow=32, kh=3, kw=3)", "conv2d(co=512, ci=512, oh=4, ow=4, kh=3, kw=3)")
STATIC_SHARED_BYTES = 48 * 1024
SPILLED_BYTES = 32
"""A few values that are needed at the end only; a tile takes more."""


def verified(primfunc: tirx.PrimFunc, target: Target, shared_bytes: int = STATIC_SHARED_BYTES) -> bool:
    """TVM's verdict on every kernel of a function, whose blocks may have so much shared memory."""
    limits = target.gpu
    assert limits is not None
    constraints = {
        "max_shared_memory_per_block": shared_bytes,
        "max_threads_per_block": limits.threads_per_block,
        "max_thread_x": limits.threads[0],
        "max_vector_bytes": 16,
    }
    module = LowerOpaqueBlock()(UnifyThreadBinding()(tvm.IRModule({"main": primfunc})))
    return bool(verify_gpu_code(module["main"], constraints))


@pytest.mark.parametrize(
    ("operator", "architecture"),
    [*product(OPERATORS.values(), ["sm_90"]), *product(PAPER, ARCHITECTURES)],
)
def test_all_variants_pass_tvm_s_verification(operator: str, architecture: str):
    target, form = cuda(architecture), form_of(operator)
    for schedule in schedules(form, target)[:4]:
        assert verified(build_kernel(form, 1, Epilogue(shift=True), target, schedule).primfunc, target), schedule


def test_too_many_threads_are_refused_by_tvm():
    target, form = cuda("sm_90"), form_of(PAPER[1])
    wide = CudaSchedule(1, 1, 1, thread_channels=128, thread_rows=4, thread_columns=4)
    assert not verified(build_kernel(form, 1, Epilogue(), target, wide).primfunc, target)


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="NVIDIA's compiler is not installed")
@pytest.mark.parametrize(("operator", "sequence"), [(PAPER[0], ""), (PAPER[1], ""), (OPERATORS["dense"], SEQUENCES[2])])
def test_tiles_stay_in_registers(operator: str, sequence: str, tmp_path: Path):
    target, form = cuda("sm_90"), form_of(operator, sequence)
    for number, schedule in enumerate(schedules(form, target)[:2]):
        path = tmp_path / f"kernel_{number}.cu"
        path.write_text(source_of(build_kernel(form, 1, EPILOGUE, target, schedule).primfunc, target))
        command = ["nvcc", "-arch=sm_90", "-cubin", "-Xptxas=-v", str(path), "-o", str(path.with_suffix(".cubin"))]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stderr
        spilled = [int(number) for number in re.findall(r"(\d+) bytes spill stores", said)]
        assert spilled
        assert max(spilled) <= SPILLED_BYTES, schedule
