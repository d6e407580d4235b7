"""What is left out of TVM's passes changes nothing of our kernels."""

from __future__ import annotations

import pytest
import tvm

from loopwright.ir.contraction import operator_form
from loopwright.lowering.epilogue import Epilogue
from loopwright.lowering.kernel import build_kernel, schedules
from loopwright.measurement.build import assembly
from loopwright.operators import parse
from loopwright.targets.cpu import cpu
from loopwright.transformations import TransformationSequence

DENSE = "conv2d(co=32, ci=16, oh=8, ow=8, kh=3, kw=3)"


@pytest.mark.parametrize(
    ("operator", "sequence"),
    [
        (DENSE, "identity"),
        (DENSE, "group(co, ci, 2)"),
        ("conv2d(co=32, ci=32, oh=7, ow=7, kh=3, kw=3)", "depthwise(co, ci)"),
        (DENSE, "bottleneck(oh, 2)"),
        ("conv2d(co=64, ci=48, oh=6, ow=6)", "bottleneck(co, 2)"),
    ],
)
def test_a_kernel_s_code_is_what_all_of_tvm_s_passes_make(operator: str, sequence: str) -> None:
    target = cpu(threads=2)
    form = operator_form(TransformationSequence.parse(sequence).apply(parse(operator).nest()))
    for schedule in schedules(form, target)[:3]:
        function = build_kernel(form, 1, Epilogue(), target, schedule).primfunc
        with tvm.target.Target(target.tvm_target):
            whole = tvm.compile(function)
        assert assembly(function, target) == str(whole.mod.inspect_source("asm"))
