"""Every kernel equals the float64 meaning of its form."""

from __future__ import annotations

import numpy as np
import pytest
import tvm

from loopwright.ir import interpreter
from loopwright.ir.affine import var
from loopwright.ir.contraction import Contraction, Dim, OperatorForm, operator_form
from loopwright.ir.loopnest import Case
from loopwright.lowering.kernel import CpuSchedule, Epilogue, build_kernel
from loopwright.lowering.layout import Channels, channel_block, from_blocked, to_blocked
from loopwright.measurement.build import compile_function
from loopwright.operators import parse
from loopwright.targets.cpu import cpu
from loopwright.transformations import TransformationSequence
from tests.lowering.forms import (
    channel_bottleneck,
    columns,
    conv,
    part,
    parts,
    reference,
    rows,
    spatial_bottleneck,
    strips,
    taps,
)
from tests.lowering.ways import TOLERANCE, Tensors, by_kernel, relative_error

FORMS = {
    "dense": conv(32, 32, 8),
    "odd": conv(10, 3, 5),
    "stem": conv(64, 3, 16),
    "1x1": conv(48, 32, 8, k=1),
    "5x5": conv(16, 16, 7, k=5),
    "strided": conv(32, 16, 8, stride=2),
    "strided 1x1": conv(32, 16, 4, k=1, stride=2),
    "dilated": conv(16, 16, 6, dilation=2),
    "wide": conv(16, 16, 5, width=9),
    "group 2": conv(64, 64, 8, groups=2),
    "group 4 of 8": conv(32, 32, 8, groups=4),
    "group 8 of 4": conv(32, 32, 8, groups=8),
    "group of 3": conv(12, 12, 5, groups=4),
    "group widening": conv(64, 32, 4, groups=4),
    "depthwise": conv(32, 32, 8, groups=32),
    "depthwise multiplier": conv(32, 16, 6, groups=16),
    "sequence 1": strips(64, 32, 8, 2),
    "sequence 1 narrow": strips(16, 8, 8, 4),
    "sequence 2": parts(64, 64, 8, [(16, 1), (48, 2)]),
    "sequence 3": parts(64, 64, 4, [(32, 2), (32, 4)]),
    "uneven parts": parts(30, 30, 4, [(5, 1), (15, 3), (10, 2)]),
    "spatial bottleneck": spatial_bottleneck(32, 16, 8),
    "channel bottleneck": channel_bottleneck(64, 16, 8),
    "channel bottleneck by stride": channel_bottleneck(64, 16, 8, stride=True),
    "narrow channel bottleneck": channel_bottleneck(16, 16, 4, factor=4),
}


def run(
    form: OperatorForm, n: int, epilogue: Epilogue, schedule: CpuSchedule | None = None, tensors: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """The kernel's output and the one it should have; of several ``tensors`` that are joined along the
    channels, input and output are the second, and the others are left as they are."""
    random, target = np.random.default_rng(0), cpu(threads=2)
    ci, co = form.input_shape[0], form.output_shape[0]
    read, whole = (Channels(tensors * ci, ci), tensors * co) if tensors > 1 else (None, None)
    kernel = build_kernel(form, n, epilogue, target, schedule, read=read, whole=whole)
    compiled = compile_function(kernel.primfunc, target)
    images = random.standard_normal((n, *form.input_shape)).astype(np.float32)
    weights = [random.standard_normal(c.weight_shape).astype(np.float32) for c in form.contractions]
    packed = kernel.pack(weights)
    assert tuple(w.shape for w in packed) == kernel.packed_shapes
    scale, shift = random.standard_normal((2, form.output_shape[0])).astype(np.float32)
    residual = random.standard_normal((n, *form.output_shape)).astype(np.float32)
    lanes = target.vector_lanes
    parameters = [(epilogue.scale, scale), (epilogue.shift, shift), (epilogue.residual, to_blocked(residual, lanes))]
    arrays = [to_blocked(among(images, tensors), lanes), *packed, *(array for present, array in parameters if present)]
    stored = tvm.runtime.tensor(to_blocked(among(np.full_like(residual, np.nan), tensors), lanes))
    first_block = [co // channel_block(co, lanes)] if whole else []
    compiled(*map(tvm.runtime.tensor, arrays), *first_block, stored)
    expected = reference(form, images, weights)
    expected = expected * scale[:, None, None] if epilogue.scale else expected
    expected = expected + shift[:, None, None] if epilogue.shift else expected
    expected = expected + residual if epilogue.residual else expected
    return from_blocked(stored.numpy()), among(np.clip(expected, *epilogue.bounds), tensors)


def among(images: np.ndarray, tensors: int) -> np.ndarray:
    """The second of so many tensors joined along the channels, the others unknown; the only one of one."""
    others = np.full_like(images, np.nan)
    return np.concatenate([images if k == min(1, tensors - 1) else others for k in range(tensors)], 1)


def assert_equal(form: OperatorForm, n: int, epilogue: Epilogue, *options: CpuSchedule | int | None) -> None:
    actual, expected = run(form, n, epilogue, *options)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5 * np.nanmax(np.abs(expected)))


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_equals_reference(form: OperatorForm) -> None:
    assert_equal(form, 1, Epilogue())


@pytest.mark.parametrize("name", ["dense", "odd", "sequence 1", "sequence 3", "spatial bottleneck", "depthwise"])
def test_batch_and_epilogue(name: str) -> None:
    assert_equal(FORMS[name], 2, Epilogue(scale=True, shift=True, residual=True, relu=True))


@pytest.mark.parametrize("part", ["scale", "shift", "residual", "relu", "at_most"])
def test_each_part_of_the_epilogue(part: str) -> None:
    assert_equal(FORMS["dense"], 1, Epilogue(**{part: 1.0 if part == "at_most" else True}))


SCHEDULES = (
    CpuSchedule(16, 1, 1, 1),
    CpuSchedule(16, 2, 2, 3),
    CpuSchedule(16, 1, 2, 4, unroll_rows=True),
    CpuSchedule(8, 3, 2, 5, prefetch=16),
    CpuSchedule(4, 2, 1, 28),
)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@pytest.mark.parametrize("name", ["dense", "group 4 of 8", "wide", "strided", "sequence 1", "depthwise"])
def test_every_schedule_gives_the_same(name: str, schedule: CpuSchedule) -> None:
    assert_equal(FORMS[name], 1, Epilogue(shift=True, relu=True), schedule)


def test_a_kernel_that_reads_nothing_but_padding_gives_zeros() -> None:
    nest = parse("conv1d(co=1, ci=1, ow=3, padding=1)").nest()
    own = TransformationSequence.parse("bottleneck(ow, 3)").apply(nest)
    tensors = Tensors.floats(own)
    assert not by_kernel(operator_form(own), tensors).any()


def reduction_in_two() -> OperatorForm:
    """The input channels cut in two contractions that add up everywhere."""
    half = conv(32, 8, 6).contractions[0]
    return OperatorForm((16, 6, 6), (32, 6, 6), (half, Contraction(half.dims, (8, -1, -1), (0, 0, 0))))


def overlapping_in_part() -> OperatorForm:
    """All output channels once, and half of them again with other weights."""
    return OperatorForm((16, 6, 6), (32, 6, 6), (part(32, 16, 6, 0), part(16, 16, 6, 8, k=1)))


def with_unwritten_outputs() -> OperatorForm:
    return OperatorForm((16, 6, 6), (32, 6, 6), (part(16, 16, 6, 8),))


def writing_twice(co: int = 8) -> OperatorForm:
    """Two dims of one contraction that meet in the same outputs."""
    dims = (rows(4), columns(4), Dim(3, (0, 0, 2), (0, 0, 1), True), Dim(co, (0, 0, 0), (1, 0, 0), True), *taps(3))
    return OperatorForm((1, 6, 8), (co, 4, 6), (Contraction(dims, (0, 0, 0), (0, 0, 0)),))


def diagonal() -> OperatorForm:
    """A dim that moves along rows and columns, a reduction without weight, and a completion by two cases."""
    dims = (
        Dim(5, (0, 1, 1), (0, 1, 1), False),
        Dim(2, (0, 2, 0), (0, 0, 0), False),
        Dim(8, (0, 0, 0), (1, 0, 0), True),
    )
    o0, o1, o2 = var("o0"), var("o1"), var("o2")
    cases = (Case(((o2 - o1 - 1, 5),), (o0, o1, o1)), Case(((o1 - o2 - 1, 5),), (o0, o2, o2)))
    return OperatorForm((3, 5, 5), (8, 5, 5), (Contraction(dims, (1, -1, 0), (0, 0, 0)),), cases)


def channels_with_columns() -> OperatorForm:
    """A dim without weight that moves along channels and columns, as a folded depth may."""
    dims = (
        Dim(4, (2, 0, 1), (2, 0, 1), False),
        rows(6),
        Dim(2, (0, 0, 0), (1, 0, 0), True),
        Dim(2, (1, 0, 0), (0, 0, 0), True),
    )
    o0, o1, o2 = var("o0"), var("o1"), var("o2")
    case = Case((), (2 * o2 + o0 % 2, o1, o2))
    return OperatorForm((8, 6, 4), (8, 6, 4), (Contraction(dims, (0, 0, 0), (0, 0, 0)),), (case,))


def channels_backwards() -> OperatorForm:
    """Output channels written from the last to the first."""
    dims = (rows(4), columns(4), Dim(16, (0, 0, 0), (-1, 0, 0), True), Dim(16, (1, 0, 0), (0, 0, 0), True))
    return OperatorForm((16, 4, 4), (16, 4, 4), (Contraction(dims, (0, 0, 0), (15, 0, 0)),))


ODD = {
    "reduction in two": reduction_in_two(),
    "overlapping in part": overlapping_in_part(),
    "unwritten outputs": with_unwritten_outputs(),
    "writing twice": writing_twice(),
    "diagonal": diagonal(),
    "channels backwards": channels_backwards(),
    "channels with columns": channels_with_columns(),
    "one pixel": conv(32, 16, 1),
    "prime channels": conv(6, 37, 5),
    "prime channels 1x1": conv(17, 34, 5, k=1),
    "one channel": conv(1, 1, 6),
    "shared weight": OperatorForm((1, 4, 4), (1, 4, 4), (Contraction((rows(4), columns(4)), (0, -1, 1), (0, 0, 0)),)),
    "nothing": OperatorForm((4, 3, 3), (4, 3, 3), ()),
}


@pytest.mark.parametrize("form", ODD.values(), ids=ODD.keys())
def test_odd_forms(form: OperatorForm) -> None:
    assert_equal(form, 2, Epilogue(shift=True, residual=True, relu=True))


PLACED = ("dense", "1x1", "sequence 1", "sequence 2", "spatial bottleneck", "channel bottleneck by stride")


ADDED = (reduction_in_two(), overlapping_in_part(), writing_twice(co=16))


@pytest.mark.parametrize("form", [*map(FORMS.get, PLACED), *ADDED])
def test_input_and_output_are_channels_of_larger_tensors(form: OperatorForm) -> None:
    assert_equal(form, 2, Epilogue(scale=True, shift=True, residual=True, relu=True), None, 3)


def test_minimal_filtering_of_channels_of_larger_tensors() -> None:
    assert_equal(FORMS["dense"], 1, Epilogue(shift=True), CpuSchedule(16, 2, 1, 8, prefetch=8, winograd=2), 3)


def test_lanes_stay_in_their_row_where_a_completion_would_move_them() -> None:
    sequence = "fuse(m, p) -> split(m_p, 2) -> bottleneck(m_p_outer, 3)"
    nest = TransformationSequence.parse(sequence).apply(parse("matmul(h=2, m=2, p=3, k=1)").nest())
    tensors = Tensors.floats(nest)
    expected = interpreter.run(nest, tensors.x, *tensors.weights)
    assert relative_error(by_kernel(operator_form(nest), tensors), expected) < TOLERANCE
