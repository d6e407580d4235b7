"""Quasi-affine expressions over named integer variables, kept in one canonical form.

An expression is ``constant + sum(coefficient * atom)``; an atom is a variable, a floor division of an expression by a
positive integer, or the minimum of an expression and an integer. ``e % d`` is written ``e - d * (e // d)``.
Expressions are immutable, compare by value, and hash.

>>> co, g = var("g") * 32 + var("co"), var("g")
>>> print(co)
32*g + co
>>> print(co // 32)
co//32 + g
>>> print((co // 32).simplify({"g": 2, "co": 32}))
g
>>> co.evaluate({"g": 1, "co": 5})
37
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

Terms = tuple[tuple["Atom", int], ...]


@dataclass(frozen=True)
class Var:
    """A named integer variable."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class FloorDiv:
    """``numerator // divisor``, rounded towards minus infinity; ``divisor`` is positive."""

    numerator: Affine
    divisor: int

    def __str__(self) -> str:
        return f"{_bracketed(self.numerator)}//{self.divisor}"


@dataclass(frozen=True)
class Minimum:
    """``min(expression, bound)``."""

    expression: Affine
    bound: int

    def __str__(self) -> str:
        return f"min({self.expression}, {self.bound})"


Atom = Var | FloorDiv | Minimum


@dataclass(frozen=True)
class Affine:
    """``constant + sum(coefficient * atom)``; ``terms`` holds each atom once, without zero coefficients, in order."""

    terms: Terms = ()
    constant: int = 0

    def __add__(self, other: Affine | int) -> Affine:
        other = constant(other)
        if not (self.terms and other.terms):
            return Affine(self.terms or other.terms, self.constant + other.constant)
        return _collect((*self.terms, *other.terms), self.constant + other.constant)

    __radd__ = __add__

    def __mul__(self, factor: int) -> Affine:
        if factor == 0:
            return Affine()
        return Affine(tuple((atom, coefficient * factor) for atom, coefficient in self.terms), self.constant * factor)

    __rmul__ = __mul__

    def __neg__(self) -> Affine:
        return self * -1

    def __sub__(self, other: Affine | int) -> Affine:
        return self + constant(other) * -1

    def __rsub__(self, other: int) -> Affine:
        return constant(other) - self

    def __floordiv__(self, divisor: int) -> Affine:
        """Exact for the part that the divisor divides, ``(4*a + b) // 4 == a + b//4``, and in one division where one is
        inside another, ``(a + b//2) // 4 == (2*a + b) // 8``."""
        if divisor == 1:
            return self
        whole = _collect(((atom, c // divisor) for atom, c in self.terms if c % divisor == 0), self.constant // divisor)
        rest = _collect(((atom, c) for atom, c in self.terms if c % divisor), self.constant % divisor)
        if not rest.terms:
            return whole
        inner = next((atom for atom, c in rest.terms if isinstance(atom, FloorDiv) and c == 1), None)
        if inner is not None:
            rest = (rest - Affine(((inner, 1),))) * inner.divisor + inner.numerator
            return whole + rest // (divisor * inner.divisor)
        return whole + Affine(((FloorDiv(rest, divisor), 1),))

    def __mod__(self, divisor: int) -> Affine:
        return self - (self // divisor) * divisor

    def minimum(self, bound: int) -> Affine:
        """``min(self, bound)``."""
        return constant(min(self.constant, bound)) if not self.terms else Affine(((Minimum(self, bound), 1),))

    @property
    def variables(self) -> frozenset[str]:
        """Names of all variables, those inside divisions included."""
        return frozenset().union(*(_atom_variables(atom) for atom, _ in self.terms))

    @property
    def wrapped_variables(self) -> frozenset[str]:
        """Names of the variables inside divisions and minima."""
        return frozenset().union(*(_atom_variables(atom) for atom, _ in self.terms if not isinstance(atom, Var)))

    @property
    def is_linear(self) -> bool:
        """True when no term is a division or a minimum."""
        return all(isinstance(atom, Var) for atom, _ in self.terms)

    def coefficient(self, name: str) -> int:
        """The factor of variable ``name`` outside of divisions."""
        return next((c for atom, c in self.terms if isinstance(atom, Var) and atom.name == name), 0)

    def is_multiple_of(self, factor: int) -> bool:
        """True when all terms are, whatever the variables' values."""
        return all(number % factor == 0 for number in (self.constant, *(c for _, c in self.terms)))

    def substitute(self, values: Mapping[str, Affine]) -> Affine:
        """Replaces variables by expressions; variables that ``values`` does not name stay."""
        return self._rebuild(lambda name: values.get(name, var(name)))

    def evaluate(self, values: Mapping[str, Any], minimum: Callable[[Any, int], Any] = min) -> Any:
        """The value under ``values`` (integers, arrays, or any objects with ``+ * //``); pass ``minimum`` for those
        whose minimum is not Python's (``numpy.minimum``)."""
        total: Any = self.constant
        for atom, coefficient in self.terms:
            if isinstance(atom, Var):
                value = values[atom.name]
            elif isinstance(atom, FloorDiv):
                value = atom.numerator.evaluate(values, minimum) // atom.divisor
            else:
                value = minimum(atom.expression.evaluate(values, minimum), atom.bound)
            term = value if coefficient == 1 else value * coefficient
            total = term if isinstance(total, int) and total == 0 else total + term
        return total

    def bounds(self, extents: Mapping[str, int]) -> tuple[int, int]:
        """Smallest and largest value that interval arithmetic allows for ``0 <= v < extents[v]``."""
        low = high = self.constant
        for atom, coefficient in self.terms:
            ends = [bound * coefficient for bound in _atom_bounds(atom, extents)]
            low, high = low + min(ends), high + max(ends)
        return low, high

    def simplify(self, extents: Mapping[str, int]) -> Affine:
        """An equal expression for ``0 <= v < extents[v]``: drops divisions and minima that the ranges decide."""
        plain = (term for term in self.terms if isinstance(term[0], Var) and extents.get(term[0].name) != 1)
        total = Affine(tuple(plain), self.constant)
        for atom, coefficient in self.terms:
            if isinstance(atom, FloorDiv):
                total = total + _divide(atom.numerator.simplify(extents), atom.divisor, extents) * coefficient
            elif isinstance(atom, Minimum):
                total = total + _bounded(atom.expression.simplify(extents), atom.bound, extents) * coefficient
        return total

    def _rebuild(self, value: Callable[[str], Affine]) -> Affine:
        total = Affine((), self.constant)
        for atom, coefficient in self.terms:
            if isinstance(atom, Var):
                part = value(atom.name)
            elif isinstance(atom, FloorDiv):
                part = atom.numerator._rebuild(value) // atom.divisor
            else:
                part = atom.expression._rebuild(value).minimum(atom.bound)
            total = total + part * coefficient
        return total

    def __str__(self) -> str:
        if not self.terms:
            return str(self.constant)
        rest, remainders = _remainders(self)
        parts = [_signed(f"{_bracketed(numerator)} % {divisor}", factor) for numerator, divisor, factor in remainders]
        parts += [_signed(str(atom), coefficient) for atom, coefficient in rest.terms]
        if rest.constant:
            parts.append(f" {'-' if rest.constant < 0 else '+'} {abs(rest.constant)}")
        text = "".join(parts)
        return text[3:] if text.startswith(" + ") else "-" + text[3:]


def var(name: str) -> Affine:
    """The expression that is just the variable ``name``."""
    return Affine(((Var(name), 1),))


def constant(value: Affine | int) -> Affine:
    """An integer as an expression; an expression as it is."""
    return value if isinstance(value, Affine) else Affine((), value)


def _collect(terms: Iterable[tuple[Atom, int]], constant: int) -> Affine:
    sums: dict[Atom, int] = {}
    for atom, coefficient in terms:
        sums[atom] = sums.get(atom, 0) + coefficient
    kept = [term for term in sums.items() if term[1]]
    if len(kept) > 1:
        kept.sort(key=_order)
    return Affine(tuple(kept), constant)


def _order(term: tuple[Atom, int]) -> tuple[int, str]:
    return -abs(term[1]), _spelling(term[0])


@lru_cache(maxsize=1 << 16)
def _spelling(atom: Atom) -> str:
    return str(atom)


def _remainders(expression: Affine) -> tuple[Affine, list[tuple[Affine, int, int]]]:
    """Finds ``factor * (numerator - divisor * (numerator // divisor))`` and takes it out, for printing as ``%``."""
    found = []
    for atom, coefficient in expression.terms:
        if isinstance(atom, FloorDiv) and coefficient % atom.divisor == 0:
            factor = -coefficient // atom.divisor
            rest = expression - (atom.numerator % atom.divisor) * factor
            if len(rest.terms) < len(expression.terms) - len(atom.numerator.terms):
                found.append((atom.numerator, atom.divisor, factor))
                expression = rest
    return expression, found


def _signed(text: str, factor: int) -> str:
    size = abs(factor)
    product = text if size == 1 else f"{size}*({text})" if "/" in text or "%" in text else f"{size}*{text}"
    return (" - " if factor < 0 else " + ") + product


def _bracketed(expression: Affine) -> str:
    text = str(expression)
    return (
        text if len(expression.terms) == 1 and expression.terms[0][1] == 1 and not expression.constant else f"({text})"
    )


def _atom_variables(atom: Atom) -> frozenset[str]:
    if isinstance(atom, Var):
        return frozenset({atom.name})
    return (atom.numerator if isinstance(atom, FloorDiv) else atom.expression).variables


def _atom_bounds(atom: Atom, extents: Mapping[str, int]) -> tuple[int, int]:
    if isinstance(atom, Var):
        return 0, extents[atom.name] - 1
    if isinstance(atom, FloorDiv):
        low, high = atom.numerator.bounds(extents)
        return low // atom.divisor, high // atom.divisor
    low, high = atom.expression.bounds(extents)
    return min(low, atom.bound), min(high, atom.bound)


def _bounded(expression: Affine, bound: int, extents: Mapping[str, int]) -> Affine:
    low, high = expression.bounds(extents)
    return expression if high <= bound else constant(bound) if low >= bound else expression.minimum(bound)


def _divide(numerator: Affine, divisor: int, extents: Mapping[str, int]) -> Affine:
    """``numerator // divisor`` in ranges: where a part that a common factor divides leaves a rest smaller than that
    factor, the rest goes (``(32*g + co) // 64 == g // 2`` for ``co < 32``)."""
    quotient = numerator // divisor
    if len(quotient.terms) == 0 or all(isinstance(atom, Var) for atom, _ in quotient.terms):
        return quotient
    whole = _collect(((a, c // divisor) for a, c in numerator.terms if c % divisor == 0), numerator.constant // divisor)
    rest = _collect(((a, c) for a, c in numerator.terms if c % divisor), numerator.constant % divisor)
    low, high = rest.bounds(extents)
    if low // divisor == high // divisor:
        return whole + low // divisor
    for factor in sorted({abs(c) for _, c in rest.terms if divisor % c == 0 and abs(c) > 1}, reverse=True):
        coarse = _collect(((a, c) for a, c in rest.terms if c % factor == 0), 0)
        fine = _collect(((a, c) for a, c in rest.terms if c % factor), rest.constant)
        fine_low, fine_high = fine.bounds(extents)
        if fine_low >= 0 and fine_high < factor:
            return whole + (coarse // factor) // (divisor // factor)
    return whole + rest // divisor
