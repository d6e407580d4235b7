"""Marks become code: each against the interpreter, and as what it is in the code."""

from __future__ import annotations

import pytest
import tvm

from loopwright.ir.interpreter import run
from loopwright.ir.loopnest import LoopNest
from loopwright.lowering.literal import literal_primfunc
from loopwright.operators import parse
from loopwright.targets.cuda import ARCHITECTURES, cuda
from loopwright.transformations import TransformationSequence
from tests.lowering.ways import TOLERANCE, Tensors, by_literal_code, relative_error

OPERATORS = (
    "conv2d(co=4, ci=4, oh=8, ow=8, kh=3, kw=3)",
    "conv2d(n=2, co=4, ci=4, oh=4, ow=4, kh=3, kw=3, stride=2)",
    "conv2d(co=8, ci=8, oh=4, ow=4, kh=3, kw=3, groups=2, dilation=2)",
)
MARKED = (
    "parallel(co)",
    "reorder(kh, kw, oh, ow) -> vectorize(ow)",
    "unroll(kw, 3) -> unroll(kh, 3)",
    "prefetch(input, ci)",
    "prefetch(input, n) -> prefetch(weight, co)",
    "split(oh, 2) -> parallel(oh_outer) -> prefetch(input, oh_outer) -> prefetch(weight, ci)",
    "reorder(kh, kw, oh, ow) -> prefetch(input, kw) -> vectorize(ow) -> parallel(co)",
    "bottleneck(oh, 2) -> prefetch(input, oh) -> parallel(co)",
    "fuse(oh, ow) -> split(oh_ow, 4) -> prefetch(input, oh_ow_outer)",
    "partition(oh, 1) -> on s1: prefetch(input, co) -> on s0: prefetch(weight, ci)",
    "rfactor(ci) -> parallel(ci)",
    "split(ci, 2) -> rfactor(ci_inner) -> rfactor(kh) -> prefetch(input, ci_inner) -> reorder(kh, co)",
    "partition(ci, 2) -> on s1: rfactor(ci) -> reorder(kw, oh) -> on s0: rfactor(kw)",
    "bottleneck(co, 2) -> rfactor(ci)",
)


def after(operator: str, sequence: str) -> LoopNest:
    return TransformationSequence.parse(sequence).apply(parse(operator).nest())


def assert_agrees(nest: LoopNest) -> None:
    tensors = Tensors.floats(nest)
    expected = run(nest, tensors.x, *tensors.weights)
    assert relative_error(by_literal_code(nest, tensors), expected) < TOLERANCE


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("sequence", MARKED)
def test_marked_nests_compute_what_the_interpreter_does(operator: str, sequence: str) -> None:
    nest = after(operator, sequence)
    assert_agrees(nest)


def test_a_second_input_is_prefetched_like_a_weight() -> None:
    nest = after("matmul(n=2, h=2, m=4, p=4, k=4)", "prefetch(operand, h) -> prefetch(input, m)")
    assert str(literal_primfunc(nest)).count("_tile = T.alloc_buffer") == 2
    assert_agrees(nest)


def test_marks_are_kinds_of_loops() -> None:
    sequence = "reorder(kh, kw, oh, ow) -> parallel(co) -> unroll(kw, 3) -> vectorize(ow) -> bind(oh, threadIdx.x)"
    text = str(literal_primfunc(after(OPERATORS[0], sequence)))
    for line in (
        "for co in T.parallel(4):",
        "for kw in T.unroll(3):",
        "for ow in T.vectorized(8):",
        "for oh in range(8):",
    ):
        assert line in text, "a processor has no threadIdx.x"
    assert 'for oh in T.thread_binding(8, thread="threadIdx.x"):' in str(
        literal_primfunc(after(OPERATORS[0], sequence), gpu=True)
    )


def test_a_prefetched_tile_is_a_buffer_of_its_shape() -> None:
    text = str(literal_primfunc(after(OPERATORS[0], "prefetch(input, ci) -> prefetch(weight, kh)")))
    assert "input_tile = T.alloc_buffer((1, 1, 10, 10))" in text
    assert "weight_tile = T.alloc_buffer((1, 1, 1, 3))" in text


MAPPED = (
    "bind(co, blockIdx.x) -> bind(oh, threadIdx.x)",
    "split(ow, 2) -> bind(co, vthread) -> bind(oh, vthread) -> bind(ow_inner, vthread) -> bind(ow_outer, threadIdx.y)",
    "reorder(co, oh, ow, ci) -> bind(co, blockIdx.x) -> bind(oh, threadIdx.y) -> prefetch(input, ci)",
    "partition(co, 2) -> bind(co, blockIdx.x) -> on s0: bottleneck(oh, 2)",
    "bind(oh, vthread)",
    "rfactor(ci) -> bind(ci, blockIdx.x) -> bind(co, threadIdx.x)",
)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("sequence", MAPPED)
def test_bound_nests_become_cuda_kernels(sequence: str, architecture: str) -> None:
    nest = after(OPERATORS[0], sequence)
    built = tvm.compile(literal_primfunc(nest, gpu=True), tvm.target.Target(cuda(architecture).tvm_target))
    source = built.mod.imports[0].inspect_source()
    kernels = source.count('extern "C" __global__ void') // 2  # declared and defined
    partial = sum(bool(statement.rfactored) for statement in nest.statements)
    assert kernels == len(nest.statements) + 1 + bool(nest.completion) + 2 * partial, "partial sums start and are added"
    axes = {loop.mark for statement in nest.statements for loop in statement.loops if "Idx" in loop.mark}
    assert all(axis in source for axis in axes)


def test_bound_nests_compute_the_same_on_a_processor() -> None:
    assert_agrees(after(OPERATORS[0], MAPPED[2]))


def test_a_projection_follows_in_the_same_function() -> None:
    nest = after(OPERATORS[0], "bottleneck(co, 2, keep=stride, complete=project)")
    assert_agrees(nest)
