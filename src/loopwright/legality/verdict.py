"""What a check says of a candidate: a value, never an exception, because a search meets thousands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Verdict:
    """``check`` names who judged; ``reason`` says why in one line; ``witness`` is the evidence of a rejection, and
    ``scores`` holds the numbers the decision rests on."""

    legal: bool
    check: str
    reason: str
    witness: str | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
