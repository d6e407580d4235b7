"""Steps in order: their text form, and their application to a nest.

>>> print(TransformationSequence.parse("split(oh,16) -> on s0: group( oh_outer, co, 2 )"))
split(oh, 16) -> on s0: group(oh_outer, co, 2)
>>> print(TransformationSequence())
identity
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from loopwright.errors import ArgumentError, NotApplicableError, ParseError
from loopwright.ir.loopnest import LoopNest
from loopwright.ir.printer import print_nest
from loopwright.registry import classes, unknown
from loopwright.text import parse_call
from loopwright.transformations._base import Transformation

IDENTITY = "identity"
PACKAGES = tuple(f"loopwright.transformations.{package}" for package in ("program", "neural", "mapping"))

_STEP = re.compile(r"[^;\n]*?(?=->|;|\n|$)")
_SEPARATOR = re.compile(r"\s*(?:->|;|\n)\s*")
_ON = re.compile(r"\s*on\s+(\w+)\s*:")


@cache
def registered() -> dict[str, type[Transformation]]:
    """All transformations by name."""
    return classes(PACKAGES, Transformation)


@dataclass(frozen=True)
class Step:
    """A transformation, on the statement of the given name, or on every statement."""

    transformation: Transformation
    on: str | None = None

    def __str__(self) -> str:
        return f"on {self.on}: {self.transformation}" if self.on else str(self.transformation)

    def apply(self, nest: LoopNest) -> LoopNest:
        """The nest after this step, spelled out; raises `NotApplicableError` with the nest as the error's note."""
        try:
            if self.on is None:
                return self._on_all(nest)
            return self._on_statement(nest, nest.statements.index(nest.statement(self.on)))
        except NotApplicableError as error:
            refusal = NotApplicableError(f"{self} does not apply: {error}")
            refusal.add_note(print_nest(nest))
            raise refusal from error

    def _on_all(self, nest: LoopNest) -> LoopNest:
        """Later statements first, so that earlier ones keep their number."""
        for number in reversed(range(1, len(nest.statements))):
            nest = Step(self.transformation.on_others())._on_statement(nest, number)
        return self._on_statement(nest, 0)

    def _on_statement(self, nest: LoopNest, number: int) -> LoopNest:
        for transformation in self.transformation.spelled_out(nest.statements[number]):
            statement = nest.statements[number]
            on = statement.name if len(nest.statements) > 1 else None
            nest = transformation.apply(nest, statement, str(Step(transformation, on)))
        return nest


@dataclass(frozen=True)
class TransformationSequence:
    """Steps in order. Equal sequences print alike, and `parse` inverts printing."""

    steps: tuple[Step, ...] = ()

    @classmethod
    def parse(cls, text: str) -> TransformationSequence:
        """Reads steps separated by ``->``, ``;`` or line ends; raises `ParseError` with the place, or `ArgumentError`
        for an unknown transformation or wrong arguments."""
        text = text.rstrip("\n")
        if text.strip() in ("", IDENTITY):
            return cls()
        return cls(tuple(_parse_step(text, start, end) for start, end in _spans(text)))

    def apply(self, nest: LoopNest) -> LoopNest:
        """The nest after all steps; raises `NotApplicableError` at the first that does not fit."""
        for step in self.steps:
            nest = step.apply(nest)
        return nest

    def canonical(self, nest: LoopNest) -> TransformationSequence:
        """The steps as `apply` takes them on ``nest``, with everything spelled out."""
        done = self.apply(nest).steps[len(nest.steps) :]
        return TransformationSequence.parse(" -> ".join(done))

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def __len__(self) -> int:
        return len(self.steps)

    def __add__(self, other: TransformationSequence) -> TransformationSequence:
        return TransformationSequence(self.steps + other.steps)

    def __str__(self) -> str:
        return " -> ".join(map(str, self.steps)) or IDENTITY


def _spans(text: str) -> Iterator[tuple[int, int]]:
    start = len(text) - len(text.lstrip())
    while True:
        match = _STEP.match(text, start)
        end = match.end() if match else len(text)
        yield start, end
        separator = _SEPARATOR.match(text, end)
        if separator is None or separator.end() == end:
            return
        start = separator.end()


def _parse_step(text: str, start: int, end: int) -> Step:
    on = _ON.match(text, start, end)
    call = parse_call(text, on.end() if on else start, end)
    known = registered()
    if call.name not in known:
        raise unknown("transformation", call.name, known)
    try:
        return Step(known[call.name].from_call(call), on.group(1) if on else None)
    except ParseError:
        raise
    except ArgumentError as error:
        raise ParseError(str(error), text, on.end() if on else start) from error
