"""Two-dimensional convolution against PyTorch's."""

from __future__ import annotations

import pytest
from torch.nn import functional

from loopwright.errors import ArgumentError
from loopwright.operators import parse
from tests.operators.reference import assert_nest_is


@pytest.mark.parametrize(
    "text",
    [
        "conv2d(co=4, ci=3, oh=5, ow=4, kh=3, kw=3)",
        "conv2d(n=2, co=4, ci=4, oh=3, ow=4, kh=3, kw=2, stride=2x1, padding=1x0, groups=2)",
        "conv2d(co=2, ci=2, oh=4, ow=4, kh=3, kw=3, dilation=1x2)",
    ],
)
def test_the_nest_is_pytorchs_operator(text: str) -> None:
    def conv(operator, x, weight):  # type: ignore[no-untyped-def]
        settings = operator.strides, operator.paddings, operator.dilations, operator.groups
        return functional.conv2d(x, weight, None, *settings)

    assert_nest_is(parse(text), conv)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("co=0", "conv2d needs co=..., a positive integer"),
        ("co=4, stride=1x2x3", r"conv2d: stride=\(1, 2, 3\) must be one integer or two \(2x1\), of at least 1"),
        ("co=4, groups=3", "conv2d: groups=3 does not divide co=4 and ci=4"),
        ("co=4, input_size=9x8", "conv2d: an input of 9 gives oh=9, not 8"),
    ],
)
def test_arguments_that_do_not_fit_are_named(arguments: str, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        parse(f"conv2d(ci=4, oh=8, ow=8, kh=3, kw=3, {arguments})")
