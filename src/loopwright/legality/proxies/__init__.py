"""Scores of networks at initialisation, one file each: a file of this folder registers the `Proxy` that it defines.

Importing this package loads no framework; `registered` imports the files.
"""

from __future__ import annotations

from typing import cast

from loopwright.legality.proxies._base import Proxy
from loopwright.registry import classes, unknown

__all__ = ["Proxy", "named", "registered"]


def registered() -> dict[str, Proxy]:
    """All proxies by name, in the order of the files' names."""
    return {name: cast(type[Proxy], proxy)() for name, proxy in classes([__name__], Proxy).items()}


def named(name: str) -> Proxy:
    """The proxy of that name; ArgumentError with the known ones if there is none."""
    known = registered()
    if name not in known:
        raise unknown("proxy", name, known)
    return known[name]
