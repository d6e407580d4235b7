"""MODEL as the user writes it: a registered name, ``path/to/file.py:factory`` or ``package.module:factory``."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from loopwright.errors import ArgumentError
from loopwright.models.sources import ModelSource, Shape, families, registered

if TYPE_CHECKING:
    from torch import nn


def resolve(model: str, input_shape: Shape | None = None) -> ModelSource:
    """The source that ``model`` names; ``input_shape`` (N, C, H, W) replaces the source's own.

    Raises ArgumentError if the name is unknown (with the known ones), if the factory can't be imported or called, or if
    it has no input shape.
    """
    if ":" in model:
        return _own(model, input_shape)
    source = _known(model)
    return replace(source, input_shape=input_shape or source.input_shape)


def _known(model: str) -> ModelSource:
    family, _, name = model.partition("/")
    if family in families():
        return families()[family](name)
    known = registered()
    if model not in known:
        listed = [*_listed(model, known), *(f"{family}/..." for family in families())]
        raise ArgumentError(
            f"unknown model {model!r}; known: {', '.join(listed)}; "
            "or your own as path/to/file.py:factory or package.module:factory"
        )
    return known[model]


def _listed(model: str, known: Iterable[str]) -> list[str]:
    """The known names of the family (``torchvision/``) that ``model`` belongs to, and the other families."""
    families: dict[str, list[str]] = {}
    for name in sorted(known):
        families.setdefault(_family(name), []).append(name)
    own = families.pop(_family(model) if _family(model) in families else "", [])
    return [*own, *(f"{family}/..." for family in families if family)]


def _family(name: str) -> str:
    return name.rpartition("/")[0]


def _own(model: str, input_shape: Shape | None) -> ModelSource:
    if input_shape is None:
        raise ArgumentError(f"model {model!r} needs the shape of its input, such as --input 1,3,32,32")
    place, _, name = model.rpartition(":")
    module = _import(place, model)
    factory = getattr(module, name, None)
    if not callable(factory):
        raise ArgumentError(
            f"{place} defines no function {name!r}; it defines: {', '.join(_callables(module)) or 'none'}"
        )
    return ModelSource(name, _checked(factory, model), input_shape, f"{name} of {place}")


def _import(place: str, model: str) -> ModuleType:
    from loopwright.models import usercode

    try:
        return _import_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
    except usercode.FAILURES as error:
        line = usercode.where(error)
        raise ArgumentError(
            f"cannot import {model!r}{' at ' + line if line else ''}: {usercode.first_line(error)}"
        ) from error


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _callables(module: ModuleType) -> list[str]:
    """The public functions and classes that the module itself defines."""
    own = (name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__)
    return sorted(name for name in own if not name.startswith("_"))


def _checked(factory: Callable[[], object], model: str) -> Callable[[], nn.Module]:
    """``factory``, its failures and wrong results told as ArgumentError."""

    def build() -> nn.Module:
        from torch import nn

        from loopwright.models import usercode

        try:
            module = factory()
        except usercode.FAILURES as error:
            line = usercode.where(error) or model
            raise ArgumentError(f"{model!r} fails at {line}: {usercode.first_line(error)}") from error
        if not isinstance(module, nn.Module):
            raise ArgumentError(f"{model!r} returns a {type(module).__name__}; it should return a torch.nn.Module")
        return module

    return build
