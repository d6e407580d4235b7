"""Targets: the hardware that code is generated for and measured on.

A file of this folder, besides `target`, registers what its ``TARGETS`` holds: functions that give a `Target`, by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from loopwright.errors import ArgumentError
from loopwright.registry import modules, unknown
from loopwright.targets.target import FLOAT32, PRECISIONS, Target


def registered() -> dict[str, Callable[[], Target]]:
    """All targets of all files of this folder by name."""
    files = (module for module in modules(__name__) if hasattr(module, "TARGETS"))
    return {name: factory for module in files for name, factory in module.TARGETS.items()}


def known() -> list[str]:
    """The names of all targets."""
    return sorted(registered())


def named(name: str, threads: int | None = None, precision: str = FLOAT32) -> Target:
    """The target of that name, with as many ``threads`` as it has of its own unless they are given, and a
    ``precision``.

    Raises `ArgumentError` with the known names, or for a number of threads or a precision that the target cannot have.
    """
    if name not in registered():
        raise unknown("target", name, known())
    target = _in_precision(registered()[name](), precision)
    if threads is None:
        return target
    if target.gpu is not None:
        raise ArgumentError(f"target {name} takes no number of threads: every kernel has its own")
    if threads < 1:
        raise ArgumentError(f"a kernel needs at least 1 thread, not {threads}")
    return replace(target, threads=threads)


def _in_precision(target: Target, precision: str) -> Target:
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    if precision not in target.precisions:
        raise ArgumentError(
            f"{precision} needs the tensor cores of an NVIDIA GPU of sm_80 or later, "
            f"which target {target.name} has not; take precision {FLOAT32}"
        )
    return replace(target, precision=precision)
