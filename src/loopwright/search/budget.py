"""How much a search may spend."""

from __future__ import annotations

from dataclasses import dataclass

from loopwright.errors import ArgumentError

OPERATORS = 400


@dataclass(frozen=True)
class Budget:
    """At most so many ``configurations`` are drawn, and so many ``operators`` timed, beside the untouched ones and what
    others leave of these. After so many ``seconds`` from the search's start no operator and no batch of candidates is
    begun; what was found by then is delivered.

    Raises `ArgumentError` for a budget of nothing.
    """

    configurations: int = 1000
    operators: int = OPERATORS
    seconds: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("configurations", self.configurations), ("operators", self.operators)):
            if value < 1:
                raise ArgumentError(f"{name}={value}; a search needs at least one")
        if self.seconds is not None and not self.seconds > 0:
            raise ArgumentError(f"seconds={self.seconds:g}; give a positive number, or none for no limit")
