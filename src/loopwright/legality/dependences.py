"""The legality of program and mapping transformations: no dependence is reversed, and none is raced."""

from __future__ import annotations

from loopwright.ir.dependences import raced_dependence, reversed_dependence
from loopwright.ir.loopnest import LoopNest
from loopwright.ir.marks import CONCURRENT
from loopwright.legality.verdict import Verdict

CHECK = "dependences"


def judge(nest: LoopNest, *, strict: bool = False) -> Verdict:
    """Legal when the nest keeps every dependence of the untransformed order, and no loop whose iterations run at the
    same time (parallel, vectorized, bound) carries one.

    Sums are free to change their order unless ``strict`` asks for it to be kept (for bit-identical results), but never
    to be raced. The witness of a rejection is a pair of statement instances.
    """
    violation = reversed_dependence(nest, strict=strict) or raced_dependence(nest)
    if violation is not None:
        return Verdict(False, CHECK, f"a {violation.kind} dependence {violation.what}", violation.instances)
    kept = "all keep their direction" if strict else "all keep their direction, sums being free to change their order"
    marked = any(loop.mark in CONCURRENT for statement in nest.statements for loop in statement.loops)
    return Verdict(True, CHECK, f"{kept}; no marked loop carries one" if marked else kept)
