"""What all operators share: a text form over their fields, and the nest that computes them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

from loopwright.errors import ArgumentError
from loopwright.ir.loopnest import Computation, LoopNest, untransformed
from loopwright.text import Call


@dataclass(frozen=True)
class Operator(ABC):
    """What a layer computes, with all shapes. Subclasses are frozen dataclasses of integers (or tuples of them)."""

    name: ClassVar[str]

    @abstractmethod
    def computation(self) -> Computation:
        """Iterators and accesses."""

    def nest(self) -> LoopNest:
        """The untransformed nest."""
        return untransformed(self.computation())

    def call(self) -> Call:
        """The fields as keywords, without those that equal their default."""
        values = ((field.name, getattr(self, field.name), field.default) for field in fields(self))
        return Call(self.name, keywords=tuple((name, value) for name, value, default in values if value != default))

    @classmethod
    def from_call(cls, call: Call) -> Self:
        """The inverse of `call`; raises `ArgumentError` for missing, unknown or misused arguments."""
        known = {field.name: field for field in fields(cls)}
        given: dict[str, Any] = dict(call.keywords)
        if call.arguments or call.pairs:
            raise ArgumentError(
                f"{cls.name}: arguments are given by name, as in {cls.name}(co=64, ...); known: {', '.join(known)}"
            )
        unknown = [name for name in given if name not in known]
        if unknown:
            raise ArgumentError(f"{cls.name} has no argument {unknown[0]!r}; known: {', '.join(known)}")
        return cls(**given)

    def __str__(self) -> str:
        return str(self.call())


def require_positive(operator: Operator, names: Sequence[str]) -> None:
    """Raises `ArgumentError` unless all named fields are positive integers."""
    for name in names:
        value = getattr(operator, name)
        if value == 0:
            raise ArgumentError(f"{operator.name} needs {name}=..., a positive integer")
        if not isinstance(value, int) or value < 1:
            raise ArgumentError(f"{operator.name}: {name}={value} is no positive integer; every extent must be given")
