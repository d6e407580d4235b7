"""Plug-ins by file name: every public module of a package registers what it defines; a new one is one new file."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from types import ModuleType

from loopwright.errors import ArgumentError


def modules(package: str) -> Iterator[ModuleType]:
    """Imports and yields every module of ``package`` whose name starts with no underscore, in order of names."""
    root = importlib.import_module(package)
    for info in sorted(pkgutil.iter_modules(root.__path__), key=lambda info: info.name):
        if not info.name.startswith("_") and not info.ispkg:
            yield importlib.import_module(f"{package}.{info.name}")


def classes(packages: Iterable[str], base: type) -> dict[str, type]:
    """The subclasses of ``base`` that the modules of ``packages`` define, by their ``name`` attribute."""
    found: dict[str, type] = {}
    for package in packages:
        for module in modules(package):
            for value in vars(module).values():
                if isinstance(value, type) and issubclass(value, base) and value.__module__ == module.__name__:
                    found[value.name] = value  # type: ignore[attr-defined]
    return found


def unknown(kind: str, name: str, known: Iterable[str]) -> ArgumentError:
    """The error for a name that nothing has registered; lists those that are."""
    return ArgumentError(f"unknown {kind} {name!r}; known: {', '.join(sorted(known))}")
