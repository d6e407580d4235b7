"""Three-dimensional convolution against PyTorch's."""

from __future__ import annotations

import pytest
from torch.nn import functional

from loopwright.errors import ArgumentError
from loopwright.operators import parse
from tests.operators.reference import assert_nest_is


@pytest.mark.parametrize(
    "text",
    [
        "conv3d(co=2, ci=2, od=3, oh=2, ow=4, kd=3, kh=1, kw=3)",
        "conv3d(n=2, co=4, ci=4, od=2, oh=3, ow=2, kd=2, kh=3, kw=1, stride=2x1x1, padding=0x1x0, groups=2)",
        "conv3d(co=2, ci=1, od=3, oh=2, ow=2, kd=3, kh=1, kw=1, dilation=2x1x1)",
    ],
)
def test_the_nest_is_pytorchs_operator(text: str) -> None:
    def conv(operator, x, weight):  # type: ignore[no-untyped-def]
        settings = operator.strides, operator.paddings, operator.dilations, operator.groups
        return functional.conv3d(x, weight, None, *settings)

    assert_nest_is(parse(text), conv)


def test_sizes_are_one_integer_or_three() -> None:
    with pytest.raises(ArgumentError, match=r"padding=\(1, 2\) must be one integer or three \(2x1x1\), of at least 0"):
        parse("conv3d(co=4, ci=4, od=2, oh=8, ow=8, kw=3, padding=1x2)")
