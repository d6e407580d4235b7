"""The legality of program transformations: no dependence is reversed."""

from __future__ import annotations

from loopwright.ir.dependences import reversed_dependence
from loopwright.ir.loopnest import LoopNest
from loopwright.legality.verdict import Verdict

CHECK = "dependences"


def judge(nest: LoopNest, *, strict: bool = False) -> Verdict:
    """Legal when the nest keeps every dependence of the untransformed order.

    Sums are free to change their order unless ``strict`` asks for it to be kept (for bit-identical results). The
    witness of a rejection is a pair of statement instances.
    """
    violation = reversed_dependence(nest, strict=strict)
    if violation is not None:
        return Verdict(False, CHECK, f"a {violation.kind} dependence {violation.what}", violation.instances)
    kept = "all keep their direction" if strict else "all keep their direction, sums being free to change their order"
    return Verdict(True, CHECK, kept)
