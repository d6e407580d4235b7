"""The legality of program transformations: no dependence is reversed or raced."""

from __future__ import annotations

from loopwright.ir.dependences import reversed_dependence
from loopwright.ir.loopnest import LoopNest
from loopwright.legality.verdict import Verdict

CHECK = "dependences"


def judge(nest: LoopNest, *, strict: bool = False) -> Verdict:
    """Legal when the nest keeps every dependence of the untransformed order.

    Reductions are associative and commutative, so that their order is free, unless ``strict`` asks for it to be kept.
    The witness of a rejection is a pair of statement instances.
    """
    violation = reversed_dependence(nest, strict=strict)
    if violation is None:
        kept = "every dependence is kept" if strict else "every dependence is kept; reductions may be reordered"
        return Verdict(True, CHECK, kept)
    return Verdict(False, CHECK, f"a {violation.kind} dependence {violation.what}", str(violation))
