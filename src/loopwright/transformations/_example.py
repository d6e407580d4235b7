"""The nest that docstrings transform: three loops, shown before and after a sequence."""

from __future__ import annotations

from itertools import zip_longest

from loopwright.ir.affine import var
from loopwright.ir.loopnest import Access, Computation, Iterator, LoopNest, untransformed
from loopwright.ir.marks import described
from loopwright.transformations._sequence import TransformationSequence


def example() -> LoopNest:
    """A convolution of 4 to 4 channels along 8 rows, with a kernel of one element."""
    co, ci, oh = var("co"), var("ci"), var("oh")
    iterators = (Iterator("co", 4, "channel"), Iterator("ci", 4, "channel"), Iterator("oh", 8, "spatial"))
    computation = Computation(
        "example",
        iterators,
        Access("input", (4, 8), (ci, oh)),
        Access("weight", (4, 4), (co, ci)),
        Access("output", (4, 8), (co, oh)),
        channel_axis=0,
    )
    return untransformed(computation)


def show(sequence: str) -> None:
    """Prints the example's loops before and after ``sequence``, side by side."""
    before = example()
    after = TransformationSequence.parse(sequence).apply(before)
    for left, right in zip_longest(_loops(before), _loops(after), fillvalue=""):
        print(f"{left:<22}->  {right}".rstrip())


def _loops(nest: LoopNest) -> list[str]:
    lines = []
    for statement in nest.statements:
        for depth, loop in enumerate(statement.loops):
            mark = f" ({described(loop)})" if described(loop) else ""
            lines.append(f"{'  ' * depth}for {loop.name} in {loop.extent}{mark}:")
    return lines
