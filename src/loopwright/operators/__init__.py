"""Operators: what a layer computes. One file each; `parse` reads their text form."""

from __future__ import annotations

from functools import cache

from loopwright.operators._base import Operator
from loopwright.registry import classes, unknown
from loopwright.text import parse_call


@cache
def registered() -> dict[str, type[Operator]]:
    """All operators by name."""
    return classes(("loopwright.operators",), Operator)


def parse(text: str) -> Operator:
    """Reads ``conv2d(co=64, ci=64, ...)``; raises `ParseError` with the place, or `ArgumentError`."""
    call = parse_call(text)
    known = registered()
    if call.name not in known:
        raise unknown("operator", call.name, known)
    return known[call.name].from_call(call)


__all__ = ["Operator", "parse", "registered"]
