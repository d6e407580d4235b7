"""How long it takes to derive and check a sequence of eight steps; ``python -m benchmarks.derivation``.

A search derives and checks thousands of candidates, so this must be quick, and the time must not grow with the extents
of the loops. The time is that of a fresh derivation: parse the text, take the steps, judge the dependences, and compute
the operator's form and key. Checking the invariant with isl after every step, as the tests do, is timed beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import perf_counter

from loopwright.ir.contraction import operator_form
from loopwright.ir.loopnest import LoopNest
from loopwright.ir.verify import verify
from loopwright.legality import dependences
from loopwright.operators import parse
from loopwright.transformations import TransformationSequence

ROUNDS = 51
OPERATORS = (
    "conv2d(co=512, ci=512, oh=7, ow=7, kh=3, kw=3)",
    "conv2d(co=64, ci=64, oh=56, ow=56, kh=3, kw=3)",
    "conv2d(co=64, ci=64, oh=224, ow=224, kh=3, kw=3)",
)
SEQUENCES = {
    "move": "split(co, 16) -> split(ci, 32) -> reorder(ci_outer, co_outer) -> fuse(oh, ow) -> split(oh_ow, 7) -> "
    "reorder(kh, ci_inner) -> parallel(co_outer) -> unroll(kw, 3)",
    "restrict": "split(co, 16) -> group(co_inner, ci, 4) -> bottleneck(oh, 7) -> fuse(kh, kw) -> split(ci, 2) -> "
    "bottleneck(co_inner, 2) -> prefetch(weight, oh) -> unroll(ow, 7)",
    "several statements": "partition(co, 32) -> on s0: group(co, ci, 2) -> on s1: group(co, ci, 4) -> "
    "on s0: unroll(kh, 1) -> on s0: split(ci, 4) -> on s2: tile(oh: 7, ow: 7) -> on s2: reorder(kh, ci) -> "
    "on s1: parallel(g)",
}


def derive(nest: LoopNest, text: str) -> LoopNest:
    """A fresh derivation from the text."""
    return TransformationSequence.parse(text).apply(nest)


def check(nest: LoopNest) -> str:
    """What a search asks of a nest: whether it is legal, and which operator it is."""
    if not dependences.judge(nest).legal:
        raise SystemExit(f"illegal: {nest.steps}")
    return operator_form(nest).key


def verify_all(nest: LoopNest) -> None:
    """The invariant, after every step."""
    while nest.parent is not None:
        verify(nest)
        nest = nest.parent


def milliseconds(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """The median of several rounds."""
    samples = []
    for _ in range(rounds):
        start = perf_counter()
        work()
        samples.append(perf_counter() - start)
    return 1000 * median(samples)


def main() -> None:
    """Prints the table."""
    print("| operator | sequence of 8 steps | derive, ms | check, ms | together, ms | verify every step, ms |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for operator in OPERATORS:
        nest = parse(operator).nest()
        for name, text in SEQUENCES.items():
            derived = derive(nest, text)
            deriving = milliseconds(lambda: derive(nest, text))  # noqa: B023
            together = milliseconds(lambda: check(derive(nest, text)))  # noqa: B023
            verifying = milliseconds(lambda: verify_all(derive(nest, text)), 5)  # noqa: B023
            steps = f"{name} ({len(derived.steps)} with reorders)"
            checking = together - deriving
            print(f"| `{operator}` | {steps} | {deriving:.1f} | {checking:.1f} | {together:.1f} | {verifying:.0f} |")


if __name__ == "__main__":
    main()
