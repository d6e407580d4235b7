"""Search strategies, one a file: how candidates are found."""

from __future__ import annotations

from loopwright.registry import classes, unknown
from loopwright.search.strategies._base import Strategy

__all__ = ["Strategy", "named", "registered"]


def registered() -> dict[str, type[Strategy]]:
    """All strategies by name."""
    return classes((__name__,), Strategy)


def named(name: str) -> Strategy:
    """The strategy of that name; `ArgumentError` for an unknown one."""
    known = registered()
    if name not in known:
        raise unknown("strategy", name, known)
    return known[name]()
