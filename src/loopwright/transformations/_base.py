"""What a transformation is: a frozen dataclass whose fields are its parameters, in one line of text.

A new one is a new file under `program`, `neural` or `mapping` with a subclass of `Transformation`; nothing lists them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import ClassVar, Self

from loopwright.errors import ArgumentError, NotApplicableError
from loopwright.ir.loopnest import Loop, LoopNest, Statement
from loopwright.ir.marks import pinned
from loopwright.ir.move import replace_statement
from loopwright.text import Call


@dataclass(frozen=True)
class Transformation(ABC):
    """A step on one statement. Subclasses give `name`, `instances`, `rewrite` or `spelled_out`, and their loops before
    and after.

    ``neural`` steps remove instances; steps that only mark (``marks``) change neither the operator nor the order.
    """

    name: ClassVar[str]
    neural: ClassVar[bool] = False
    marks: ClassVar[bool] = False

    def rewrite(self, statement: Statement) -> Sequence[Statement]:
        """The statement(s) that take its place; raises `NotApplicableError` where the step does not fit. A step that
        stands for others is what they make of the statement."""
        for step in self.spelled_out(statement):
            (statement,) = step.rewrite(statement)
        return [statement]

    def on_others(self) -> Transformation:
        """The step for all statements but one, where it is taken on several and something in it concerns the nest."""
        return self

    def apply(self, nest: LoopNest, statement: Statement, step: str) -> LoopNest:
        """The nest with ``statement``, one of its own, rewritten; ``step`` is the text to remember it by. To be
        overridden by steps that concern more than the statement."""
        return replace_statement(nest, statement, self.rewrite(statement), step)

    @classmethod
    @abstractmethod
    def instances(cls, statement: Statement) -> Iterator[Self]:
        """The instances that apply to ``statement``, from which a search draws."""

    def spelled_out(self, statement: Statement) -> Sequence[Transformation]:  # noqa: ARG002
        """The canonical steps that this one stands for on ``statement``."""
        return (self,)

    def call(self) -> Call:
        """The step as a call; here the fields in order, those with a default as keywords and only where they differ."""
        required = [field for field in fields(self) if field.default is not None]
        optional = [field for field in fields(self) if field.default is None]
        keywords = [(field.name, getattr(self, field.name)) for field in optional]
        return Call(
            self.name,
            tuple(getattr(self, field.name) for field in required),
            tuple((key, value) for key, value in keywords if value is not None),
        )

    @classmethod
    def from_call(cls, call: Call) -> Self:
        """The inverse of `call`; raises `ArgumentError` where arguments do not match the fields."""
        required = [field.name for field in fields(cls) if field.default is not None]
        optional = [field.name for field in fields(cls) if field.default is None]
        given = dict(call.keywords)
        if len(call.arguments) != len(required) or call.pairs or not given.keys() <= set(optional):
            raise ArgumentError(f"{call} does not fit {cls.usage()}")
        return cls(**dict(zip(required, call.arguments, strict=True)), **given)

    @classmethod
    def usage(cls) -> str:
        """The form of a call, for messages."""
        return _usage(cls)

    def __str__(self) -> str:
        return str(self.call())


@cache
def _usage(transformation: type[Transformation]) -> str:
    required = [field.name for field in fields(transformation) if field.default is not None]
    optional = [f"{field.name}=..." for field in fields(transformation) if field.default is None]
    return f"{transformation.name}({', '.join(required + optional)})"


def replaced(statement: Statement, name: str, new: Sequence[Loop]) -> tuple[Loop, ...]:
    """The statement's loops with ``new`` in the place of loop ``name``."""
    return tuple(loop for old in statement.loops for loop in (new if old.name == name else (old,)))


def unmarked(statement: Statement) -> list[Loop]:
    """The loops that steps may still change: those without marks, in order."""
    return [loop for loop in statement.loops if not pinned(loop)]


def require_name(value: object, usage: str) -> None:
    """Raises `ArgumentError` unless ``value`` is a name."""
    if not isinstance(value, str):
        raise ArgumentError(f"{usage}: {value!r} is no name of a loop")


def require_factor(value: object, usage: str) -> None:
    """Raises `ArgumentError` unless ``value`` is an integer of at least 2."""
    if not isinstance(value, int) or value < 2:
        raise ArgumentError(f"{usage}: {value!r} is no factor; an integer of at least 2 is needed")


def require_divides(factor: int, loop: Loop) -> None:
    """Raises `NotApplicableError` unless ``factor`` divides the loop's iterations; the message gives those that do."""
    if loop.extent % factor:
        choices = ", ".join(map(str, divisors(loop.extent))) or "none"
        raise NotApplicableError(
            f"{factor} does not divide the {loop.extent} iterations of loop {loop.name!r} (factors that do: {choices})"
        )


@cache
def divisors(extent: int) -> tuple[int, ...]:
    """The divisors of ``extent`` from 2 up to itself."""
    return tuple(factor for factor in range(2, extent + 1) if extent % factor == 0)


def fresh(name: str, statement: Statement) -> str:
    """``name``, numbered when the statement has a loop of that name."""
    number, candidate = 2, name
    while candidate in statement.extents:
        candidate, number = f"{name}{number}", number + 1
    return candidate


def strips(name: str, statement: Statement) -> tuple[str, str]:
    """Names for the outer and the inner loop that a split makes of loop ``name``."""
    return fresh(f"{name}_outer", statement), fresh(f"{name}_inner", statement)


def outermost(statement: Statement) -> list[Loop]:
    """The loops from the outermost on, without leading ones that have one iteration or run over the batch alone."""
    loops = list(statement.loops)
    while loops and _is_batch(statement, loops[0].name):
        loops.pop(0)
    return loops


def _is_batch(statement: Statement, name: str) -> bool:
    return all(statement.computation.role(iterator) == "batch" for iterator in statement.addresses(name))
