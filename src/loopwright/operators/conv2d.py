"""Two-dimensional convolution, with stride, padding, dilation, groups and batch.

>>> from loopwright.operators import parse
>>> print(parse("conv2d(co=64, ci=64, oh=32, ow=32, kh=3, kw=3, stride=1)"))
conv2d(co=64, ci=64, oh=32, ow=32, kh=3, kw=3)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from loopwright.operators._convolution import Convolution, Sizes


@dataclass(frozen=True)
class Conv2d(Convolution):
    """``output[n, co, oh, ow] += input[n, ci, oh*stride + kh*dilation - padding, ...] * weight[co, ci, kh, kw]``.

    ``co`` and ``ci`` count all channels, those of every group together. ``stride``, ``padding``, ``dilation`` and
    ``input_size`` are one integer or two (``2x1``: rows, columns). Padding defaults to ``dilation * (kernel - 1) //
    2``; ``input_size`` (rows and columns of the input) to ``stride`` times the output's where that fits, else to the
    fewest.
    """

    name: ClassVar[str] = "conv2d"
    axes: ClassVar[str] = "hw"
    n: int = 1
    co: int = 0
    ci: int = 0
    oh: int = 0
    ow: int = 0
    kh: int = 1
    kw: int = 1
    stride: int | Sizes = 1
    padding: int | Sizes = -1
    dilation: int | Sizes = 1
    groups: int = 1
    input_size: int | Sizes = 0
