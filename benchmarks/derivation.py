"""How long it takes to derive and check a sequence of eight steps; ``python -m benchmarks.derivation``.

A search derives and checks thousands of candidates, so this must be quick, and the time must not grow with the extents
of the loops. The time is that of a fresh derivation: parse the text, take the steps, judge the dependences, and compute
the operator's form and key. Checking the invariant with isl after every step, as the tests do, is timed beside it.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import NamedTuple

from loopwright.ir.contraction import operator_form
from loopwright.ir.loopnest import LoopNest
from loopwright.ir.verify import verify
from loopwright.legality import dependences
from loopwright.operators import parse
from loopwright.transformations import TransformationSequence

TABLE = Path(__file__).parent.parent / "docs" / "data" / "derivation.csv"
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


class Row(NamedTuple):
    """``steps`` counts the reorders that neural steps stand for, too."""

    operator: str
    sequence: str
    steps: int
    derive_ms: float
    derive_and_check_ms: float
    verify_every_step_ms: int


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


def rows() -> Iterator[Row]:
    """One row for each operator and sequence."""
    for operator in OPERATORS:
        for name, text in SEQUENCES.items():
            yield row(parse(operator).nest(), name, text)


def row(nest: LoopNest, name: str, text: str) -> Row:
    """The medians for one sequence."""
    deriving = milliseconds(lambda: derive(nest, text))
    together = milliseconds(lambda: check(derive(nest, text)))
    verifying = milliseconds(lambda: verify_all(derive(nest, text)), 5)
    steps = len(derive(nest, text).steps)
    return Row(nest.computation.text, name, steps, round(deriving, 1), round(together, 1), round(verifying))


def main() -> None:
    """Measures, prints, and writes the table."""
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Row._fields)
        for found in rows():
            writer.writerow(found)
            print(*found, sep="  ", flush=True)


if __name__ == "__main__":
    main()
