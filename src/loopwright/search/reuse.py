"""How much of what a run asked for was known from runs before it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Reuse:
    """Counts: ``found`` in the store, ``made`` in this run."""

    found: int = 0
    made: int = 0
