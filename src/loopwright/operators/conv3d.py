"""Three-dimensional convolution, with stride, padding, dilation, groups and batch.

>>> from loopwright.operators import parse
>>> print(parse("conv3d(co=64, ci=32, od=4, oh=16, ow=16, kd=3, kh=3, kw=3, stride=1x2x2)"))
conv3d(co=64, ci=32, od=4, oh=16, ow=16, kd=3, kh=3, kw=3, stride=1x2x2)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from loopwright.operators._convolution import Convolution, Sizes


@dataclass(frozen=True)
class Conv3d(Convolution):
    """``output[n, co, od, oh, ow] += input[n, ci, od*stride + kd*dilation - padding, ...] * weight[co, ci, kd, ...]``.

    The fields are those of `loopwright.operators.conv2d.Conv2d`, with a depth before rows and columns.
    """

    name: ClassVar[str] = "conv3d"
    axes: ClassVar[str] = "dhw"
    n: int = 1
    co: int = 0
    ci: int = 0
    od: int = 0
    oh: int = 0
    ow: int = 0
    kd: int = 1
    kh: int = 1
    kw: int = 1
    stride: int | Sizes = 1
    padding: int | Sizes = -1
    dilation: int | Sizes = 1
    groups: int = 1
    input_size: int | Sizes = 0
