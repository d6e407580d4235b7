"""Targets: the hardware that code is generated for and measured on.

One file each, besides `target`, with a function of the file's name that gives the `Target`; adding a file registers it.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module

from loopwright.registry import unknown
from loopwright.targets.target import Target


def known() -> list[str]:
    """The names of all targets."""
    return sorted(info.name for info in pkgutil.iter_modules(__path__) if info.name != "target")


def named(name: str) -> Target:
    """The target of that name; raises `ArgumentError` with the known ones."""
    if name not in known():
        raise unknown("target", name, known())
    target: Target = getattr(import_module(f"{__name__}.{name}"), name)()
    return target
