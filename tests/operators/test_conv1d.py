"""One-dimensional convolution against PyTorch's."""

from __future__ import annotations

import pytest
from torch.nn import functional

from loopwright.errors import ArgumentError
from loopwright.operators import parse
from loopwright.operators.conv1d import Conv1d
from tests.operators.reference import assert_nest_is


@pytest.mark.parametrize(
    "text",
    [
        "conv1d(co=4, ci=3, ow=8, kw=3)",
        "conv1d(n=2, co=4, ci=4, ow=5, kw=4, stride=3, padding=1, groups=2)",
        "conv1d(co=4, ci=2, ow=6, kw=3, dilation=2, padding=0)",
    ],
)
def test_the_nest_is_pytorchs_operator(text: str) -> None:
    def conv(operator, x, weight):  # type: ignore[no-untyped-def]
        settings = operator.strides, operator.paddings, operator.dilations, operator.groups
        return functional.conv1d(x, weight, None, *settings)

    assert_nest_is(parse(text), conv)


def test_sizes_are_one_integer() -> None:
    with pytest.raises(ArgumentError, match=r"conv1d: stride=\(2, 1\) must be one integer, of at least 1"):
        parse("conv1d(co=4, ci=4, ow=8, kw=3, stride=2x1)")


def test_the_input_must_fit() -> None:
    with pytest.raises(ArgumentError, match="conv1d: an input of 9 gives ow=9, not 8"):
        parse("conv1d(co=4, ci=4, ow=8, kw=3, input_size=9)")


def test_equal_operators_are_written_alike() -> None:
    assert str(Conv1d(1, 4, 4, 8, 3, padding=1, input_size=8)) == "conv1d(co=4, ci=4, ow=8, kw=3)"
