"""The one file that talks to isl: sets and relations from affine expressions, and the few questions asked of them.

Dimensions are written ``i0, i1, ...`` for instances and ``l0, l1, ...`` for loop points, by position. isl objects are
never compared by ``==`` nor hashed by callers: equality is asked here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import TypeAlias

import islpy as isl

from loopwright.ir.affine import Affine, FloorDiv, Var, constant

Relation: TypeAlias = isl.Map
Set: TypeAlias = isl.Set
Bounds = Sequence[tuple[str, int]]


def box(bounds: Bounds) -> Set:
    """``{ [v...] : 0 <= v < extent }``."""
    names = [name for name, _ in bounds]
    return isl.Set(f"{{ [{', '.join(names)}] : {_box(bounds)} }}")


def function(source: Bounds, values: Sequence[Affine]) -> Relation:
    """``{ [source] -> [values] }`` for the points of the box ``source``."""
    names = ", ".join(name for name, _ in source)
    return isl.Map(f"{{ [{names}] -> [{', '.join(map(text, values))}] : {_box(source)} }}")


def access(source: Sequence[str], index: Sequence[Affine]) -> Relation:
    """``{ [source] -> [index] }``: the elements that an instance touches."""
    return isl.Map(f"{{ [{', '.join(source)}] -> [{', '.join(text(expression) for expression in index)}] }}")


def text(expression: Affine | int) -> str:
    """An expression in isl's notation."""
    expression = constant(expression)
    parts = [str(expression.constant)]
    for atom, coefficient in expression.terms:
        if isinstance(atom, Var):
            value = atom.name
        elif isinstance(atom, FloorDiv):
            value = f"floor(({text(atom.numerator)})/{atom.divisor})"
        else:
            value = f"min({text(atom.expression)}, {atom.bound})"
        parts.append(f"{coefficient}*{value}")
    return "(" + " + ".join(parts) + ")"


def names(prefix: str, count: int) -> list[str]:
    """``prefix0 .. prefix{count-1}``."""
    return [f"{prefix}{k}" for k in range(count)]


def renamed(expression: Affine, mapping: Mapping[str, str]) -> Affine:
    """The expression with its variables renamed."""
    return expression.substitute({old: Affine(((Var(new), 1),)) for old, new in mapping.items()})


def is_bijection(schedule: Relation, onto: Set) -> bool:
    """Whether ``schedule`` is single-valued, injective, and reaches exactly ``onto``."""
    return bool(schedule.is_bijective()) and bool(schedule.range().is_equal(onto))


def equal(first: Relation | Set, second: Relation | Set) -> bool:
    """Equality of two sets or two relations, whatever their dimensions are called."""
    return bool(first.is_equal(second))


def union(relations: Sequence[Relation]) -> Relation:
    """All pairs of one or more relations between the same spaces."""
    return reduce(isl.Map.union, relations)


def least(relation: Relation) -> Relation:
    """For every source its lexicographically least target."""
    return relation.lexmin()


def points(domain: Set) -> set[tuple[int, ...]]:
    """All points of a bounded set, by enumeration: for tests and small nests."""
    found: set[tuple[int, ...]] = set()

    def add(point: isl.Point) -> None:
        rank = domain.dim(isl.dim_type.set)
        found.add(tuple(point.get_coordinate_val(isl.dim_type.set, k).to_python() for k in range(rank)))

    domain.foreach_point(add)
    return found


def sample_pair(pairs: Relation) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """One (source, target) pair of a relation, or ``None`` when it is empty."""
    if pairs.is_empty():
        return None
    point = pairs.sample().wrap().sample_point()
    sizes = [pairs.dim(kind) for kind in (isl.dim_type.in_, isl.dim_type.out)]
    values = [point.get_coordinate_val(isl.dim_type.set, k).to_python() for k in range(sum(sizes))]
    return tuple(values[: sizes[0]]), tuple(values[sizes[0] :])


def earlier(size: int, depth: int | None = None) -> Relation:
    """``{ [x] -> [y] : x is lexicographically before y }``; with ``depth``, equal outside that loop, before at it."""
    left, right = names("x", size), names("y", size)
    depths = range(size) if depth is None else (depth,)
    cases = [" and ".join([*(f"x{k} = y{k}" for k in range(at)), f"x{at} < y{at}"]) for at in depths]
    return isl.Map(f"{{ [{', '.join(left)}] -> [{', '.join(right)}] : {' or '.join(f'({case})' for case in cases)} }}")


def _box(bounds: Bounds) -> str:
    return " and ".join(f"0 <= {name} < {extent}" for name, extent in bounds) or "1 = 1"
