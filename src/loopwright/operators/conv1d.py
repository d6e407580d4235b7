"""One-dimensional convolution, with stride, padding, dilation, groups and batch.

>>> from loopwright.operators import parse
>>> print(parse("conv1d(co=64, ci=32, ow=100, kw=5, stride=2)"))
conv1d(co=64, ci=32, ow=100, kw=5, stride=2)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from loopwright.operators._convolution import Convolution


@dataclass(frozen=True)
class Conv1d(Convolution):
    """``output[n, co, ow] += input[n, ci, ow*stride + kw*dilation - padding] * weight[co, ci, kw]``.

    The fields are those of `loopwright.operators.conv2d.Conv2d`, along columns alone.
    """

    name: ClassVar[str] = "conv1d"
    axes: ClassVar[str] = "w"
    n: int = 1
    co: int = 0
    ci: int = 0
    ow: int = 0
    kw: int = 1
    stride: int = 1
    padding: int = -1
    dilation: int = 1
    groups: int = 1
    input_size: int = 0
