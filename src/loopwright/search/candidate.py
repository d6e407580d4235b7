"""A candidate: one sequence for every layer that changes, as text, and so the same in store, report and spec."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from loopwright.transformations import TransformationSequence


@dataclass(frozen=True)
class Candidate:
    """``sequences`` holds (layer name, sequence text) in the network's order; other layers stay as they are."""

    sequences: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, sequences: Mapping[str, TransformationSequence]) -> Candidate:
        """Layers whose sequence is empty are left out."""
        return cls(tuple((layer, str(sequence)) for layer, sequence in sequences.items() if sequence.steps))

    def __iter__(self) -> Iterator[tuple[str, TransformationSequence]]:
        return ((layer, TransformationSequence.parse(text)) for layer, text in self.sequences)

    def __str__(self) -> str:
        return "; ".join(f"{layer}: {text}" for layer, text in self.sequences) or "identity"
