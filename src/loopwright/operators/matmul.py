"""Batched matrix product of two activations, as in attention.

>>> from loopwright.operators import parse
>>> print(parse("matmul(h=8, m=49, p=49, k=64)"))
matmul(h=8, m=49, p=49, k=64)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from loopwright.ir.affine import var
from loopwright.ir.loopnest import Access, Computation, Iterator
from loopwright.operators._base import Operator, require_positive


@dataclass(frozen=True)
class Matmul(Operator):
    """``output[n, h, m, p] += input[n, h, m, k] * operand[n, h, k, p]`` for ``h`` heads.

    The operand takes the weight's place but is an activation: it differs from image to image and counts no parameters.
    """

    name: ClassVar[str] = "matmul"
    n: int = 1
    h: int = 1
    m: int = 0
    p: int = 0
    k: int = 0

    def __post_init__(self) -> None:
        require_positive(self, ("n", "h", "m", "p", "k"))

    def computation(self) -> Computation:
        n, h, m, p, k = (var(name) for name in ("n", "h", "m", "p", "k"))
        iterators = (
            Iterator("n", self.n, "batch"),
            Iterator("h", self.h, "channel"),
            Iterator("m", self.m, "spatial"),
            Iterator("p", self.p, "channel"),
            Iterator("k", self.k, "channel"),
        )
        return Computation(
            str(self),
            iterators,
            Access("input", (self.n, self.h, self.m, self.k), (n, h, m, k)),
            Access("operand", (self.n, self.h, self.k, self.p), (n, h, k, p)),
            Access("output", (self.n, self.h, self.m, self.p), (n, h, m, p)),
            channel_axis=3,
            two_inputs=True,
        )
