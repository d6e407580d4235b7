"""What is known of a kernel's digits at one point of its loops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from loopwright.ir.affine import Affine, constant, var
from loopwright.lowering.layout import blocked_channel
from loopwright.lowering.schedules.digits import Digit
from loopwright.lowering.tir import Expression, inside, value


@dataclass(frozen=True)
class Scope:
    """TIR values of the names that are loops (``extents`` has their ranges), and what other names are known to be."""

    variables: Mapping[str, Expression] = field(default_factory=dict)
    extents: Mapping[str, int] = field(default_factory=dict)
    known: Mapping[str, Affine] = field(default_factory=dict)

    def bind(self, digit: Digit, variable: Expression) -> Scope:
        """The digit is a loop variable now."""
        return replace(
            self,
            variables={**self.variables, digit.name: variable},
            extents={**self.extents, digit.name: digit.extent},
        )

    def bind_range(self, digit: Digit, start: int, stop: int, variable: Expression) -> Scope:
        """The digit is ``start + variable``, below ``stop``."""
        name = f"{digit.name}_from_{start}"
        bound = self.bind(replace(digit, name=name, extent=stop - start), variable)
        return replace(bound, known={**bound.known, digit.name: var(name) + start})

    def fix(self, numbers: Mapping[str, int]) -> Scope:
        """The named digits are numbers now."""
        return replace(self, known={**self.known, **{name: constant(number) for name, number in numbers.items()}})

    def resolve(self, expression: Affine) -> Affine:
        """The expression with all that is known put in."""
        return expression.substitute(self.known).simplify(dict(self.extents))

    def value(self, expression: Affine) -> Expression:
        """The expression in TIR."""
        return value(self.resolve(expression), self.variables)

    def blocked(self, channel: Affine, block: int) -> tuple[Affine, Affine]:
        """A channel as (block number, place in the block)."""
        return blocked_channel(self.resolve(channel), block, dict(self.extents))

    def decides(self, expression: Affine) -> bool:
        """True when every name in the expression is a loop here or a number."""
        return self.resolve(expression).variables <= self.extents.keys()

    def check(self, expression: Affine, bound: int) -> bool | Expression:
        """``0 <= expression < bound``: a bool where the ranges decide it, else a TIR condition."""
        resolved = self.resolve(expression)
        low, high = resolved.bounds(self.extents)
        if low >= 0 and high < bound:
            return True
        return False if high < 0 or low >= bound else inside(value(resolved, self.variables), bound)
