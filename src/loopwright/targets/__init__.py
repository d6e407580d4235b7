"""Targets: the hardware that code is generated for and measured on.

A file of this folder, besides `target`, registers what its ``TARGETS`` holds: functions that give a `Target`, by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from loopwright.errors import ArgumentError
from loopwright.registry import modules, unknown
from loopwright.targets.target import Target


def registered() -> dict[str, Callable[[], Target]]:
    """All targets of all files of this folder by name."""
    files = (module for module in modules(__name__) if hasattr(module, "TARGETS"))
    return {name: factory for module in files for name, factory in module.TARGETS.items()}


def known() -> list[str]:
    """The names of all targets."""
    return sorted(registered())


def named(name: str, threads: int | None = None) -> Target:
    """The target of that name, with as many ``threads`` as it has of its own unless they are given.

    Raises `ArgumentError` with the known names, or for a number of threads that the target cannot have.
    """
    if name not in registered():
        raise unknown("target", name, known())
    target = registered()[name]()
    if threads is None:
        return target
    if target.gpu is not None:
        raise ArgumentError(f"target {name} takes no number of threads: every kernel has its own")
    if threads < 1:
        raise ArgumentError(f"a kernel needs at least 1 thread, not {threads}")
    return replace(target, threads=threads)
