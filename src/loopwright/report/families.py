"""Which family of operators a sequence belongs to: the kinds of neural steps that it takes.

>>> family("identity"), family("split(oh, 16) -> group(oh_outer, co, 2) -> group(co, ci, 2)")
('unchanged', 'group')
>>> family("partition(co, 32) -> on s0: group(co, ci, 2) -> on s1: bottleneck(ci, 4)")
'bottleneck + group'
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cache

from loopwright.transformations import TransformationSequence

UNCHANGED, PROGRAM = "unchanged", "program steps"


@cache
def family(sequence: str) -> str:
    """The names of the neural steps, each once, in alphabetical order; `PROGRAM` where there are only others."""
    steps = TransformationSequence.parse(sequence)
    names = sorted({str(step.transformation).partition("(")[0] for step in steps if step.transformation.neural})
    return " + ".join(names) or (PROGRAM if steps.steps else UNCHANGED)


def count(sequences: Iterable[str]) -> dict[str, int]:
    """How many of the sequences belong to each family, the most frequent first; unchanged layers are left out."""
    return dict(Counter(name for name in map(family, sequences) if name != UNCHANGED).most_common())
