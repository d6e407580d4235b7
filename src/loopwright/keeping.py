"""Values that take long to find and are kept for later, wherever that is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")

Keep = Callable[[Key, Callable[[], Value]], Value]
"""Gives the value of a key: the one that is kept, or what the function finds, which is kept then."""


def nowhere(_key: Key, find: Callable[[], Value]) -> Value:
    """Keeps nothing: a `Keep` that finds every value anew."""
    return find()
