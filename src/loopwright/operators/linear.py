"""Linear layer over tokens: the channels of every token are multiplied by one matrix.

>>> from loopwright.operators import parse
>>> print(parse("linear(co=512, ci=128, tokens=49)"))
linear(co=512, ci=128, tokens=49)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from loopwright.ir.affine import var
from loopwright.ir.loopnest import Access, Computation, Iterator
from loopwright.operators._base import Operator, require_positive


@dataclass(frozen=True)
class Linear(Operator):
    """``output[n, t, co] += input[n, t, ci] * weight[co, ci]`` for ``tokens`` positions ``t``: channels come last."""

    name: ClassVar[str] = "linear"
    n: int = 1
    co: int = 0
    ci: int = 0
    tokens: int = 1

    def __post_init__(self) -> None:
        require_positive(self, ("n", "co", "ci", "tokens"))

    def computation(self) -> Computation:
        n, t, co, ci = (var(name) for name in ("n", "t", "co", "ci"))
        iterators = (
            Iterator("n", self.n, "batch"),
            Iterator("t", self.tokens, "spatial"),
            Iterator("co", self.co, "channel"),
            Iterator("ci", self.ci, "channel"),
        )
        return Computation(
            str(self),
            iterators,
            Access("input", (self.n, self.tokens, self.ci), (n, t, ci)),
            Access("weight", (self.co, self.ci), (co, ci)),
            Access("output", (self.n, self.tokens, self.co), (n, t, co)),
            channel_axis=2,
        )
