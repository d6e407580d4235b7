"""Transposed convolution against PyTorch's, and its nest's phases."""

from __future__ import annotations

from itertools import product

import pytest
from torch.nn import functional

from loopwright.errors import ArgumentError
from loopwright.ir.contraction import operator_form
from loopwright.ir.printer import print_nest
from loopwright.operators import parse
from loopwright.operators.conv_transpose2d import ConvTranspose2d
from loopwright.transformations import TransformationSequence
from tests.operators.reference import assert_nest_is


def transposed(operator, x, weight):  # type: ignore[no-untyped-def]
    settings = operator.strides, operator.paddings, operator.output_paddings, operator.groups
    return functional.conv_transpose2d(x, weight, None, *settings)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "output"),
    [case for case in product((2, 3, 5), (1, 2, 3), (0, 1), (6, 7)) if case[0] >= case[1]],
)
def test_the_nest_is_pytorchs_operator(kernel: int, stride: int, padding: int, output: int) -> None:
    operator = ConvTranspose2d(1, 2, 2, output, 5, kernel, 3, (stride, 2), (padding, 1))
    assert_nest_is(operator, transposed)


def test_groups_and_batch() -> None:
    operator = parse("conv_transpose2d(n=2, co=4, ci=6, oh=4, ow=4, kh=4, kw=4, stride=2, groups=2)")
    assert_nest_is(operator, transposed)


def test_every_phase_has_exactly_its_outputs_and_taps() -> None:
    operator = parse("conv_transpose2d(co=8, ci=4, oh=7, ow=8, kh=3, kw=2, stride=2)")
    nest = operator.nest()
    extents = [tuple(statement.extents[name] for name in ("qh", "qw", "th", "tw")) for statement in nest.statements]
    assert extents == [(4, 4, 1, 1), (4, 4, 1, 1), (3, 4, 2, 1), (3, 4, 2, 1)]
    taps_of_rows = 4 * 1 + 3 * 2
    assert nest.macs == 8 * 4 * taps_of_rows * 8
    assert nest.parameters == 8 * 4 * 3 * 2
    assert nest.completion == ()


def test_phases_are_never_joined_for_they_read_at_uneven_places() -> None:
    nest = parse("conv_transpose2d(co=4, ci=4, oh=8, ow=8, kh=4, kw=4, stride=2)").nest()
    assert len(operator_form(nest).contractions) == 4
    cut = TransformationSequence.parse("partition(co, 1) -> partition(qh, 2)").apply(nest)
    assert len(cut.statements) == 16
    assert operator_form(cut).key == operator_form(nest).key


def test_with_a_stride_of_one_there_is_one_phase() -> None:
    nest = parse("conv_transpose2d(co=4, ci=4, oh=8, ow=8, kh=3, kw=3)").nest()
    assert (
        print_nest(nest)
        .splitlines()[-1]
        .endswith("s0: output[0, co, qh, qw] += input[0, ci, qh - th + 1, qw - tw + 1] * weight[ci, co, th, tw]")
    )


def test_outputs_that_nothing_writes_are_refused() -> None:
    with pytest.raises(
        ArgumentError, match="kw=2 is smaller than the stride of 3, so that some outputs would never be"
    ):
        parse("conv_transpose2d(co=4, ci=4, oh=8, ow=8, kh=3, kw=2, stride=3)")


def test_an_output_without_input_is_refused() -> None:
    with pytest.raises(ArgumentError, match="no input gives oh=1; give more"):
        parse("conv_transpose2d(co=4, ci=4, oh=1, ow=8, kh=4, kw=4, stride=2)")


def test_bottlenecks_keep_each_phase_apart() -> None:
    nest = parse("conv_transpose2d(co=4, ci=4, oh=8, ow=8, kh=4, kw=4, stride=2)").nest()
    changed = TransformationSequence.parse("bottleneck(qh, 2)").apply(nest)
    assert changed.macs == nest.macs // 2
    assert len(operator_form(changed).contractions) == 4
