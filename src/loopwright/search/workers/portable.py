"""Values as bytes that another machine can read, where this package is installed but the user's own code is not."""

from __future__ import annotations

import io
import pickle
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import loopwright
from loopwright.errors import ArgumentError


def portable(value: object) -> bytes:
    """For `pickle.loads`. Classes and functions of code that is not installed (of a file, a notebook, a folder on the
    path) are part of the bytes.

    Raises `ArgumentError` for a value that can't be pickled.
    """
    with _own_code_by_value():
        try:
            data = _pickled(value)
        except Exception as error:  # a module of any class may refuse in its own way
            raise ArgumentError(
                f"the network can't be sent to other machines ({type(error).__name__}: {error}); judge it without --ray"
            ) from error
    return data


def _pickled(value: object) -> bytes:
    import cloudpickle

    class Pickler(cloudpickle.Pickler):
        """Takes objects that stand in for modules, as ``torch.classes`` does, by their names too: cloudpickle meets
        them wherever a method speaks of an attribute ``classes``."""

        def reducer_override(self, found: Any) -> Any:
            if isinstance(found, ModuleType) and type(found) is not ModuleType:
                return import_module, (found.__name__,)
            return super().reducer_override(found)

    written = io.BytesIO()
    Pickler(written, protocol=pickle.DEFAULT_PROTOCOL).dump(value)
    return written.getvalue()


@contextmanager
def _own_code_by_value() -> Iterator[None]:
    import cloudpickle

    registered = cloudpickle.list_registry_pickle_by_value()
    own = [module for name, module in list(sys.modules.items()) if _is_own(name, module) and name not in registered]
    for module in own:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in own:
            cloudpickle.unregister_pickle_by_value(module)


def _is_own(name: str, module: ModuleType) -> bool:
    """Whether the module of that name is neither Python's, nor installed, nor of this package."""
    file = getattr(module, "__file__", None)
    if not isinstance(file, str) or not Path(file).is_absolute() or getattr(module, "__name__", "") != name:
        return False
    return not any(Path(file).is_relative_to(folder) for folder in _INSTALLED)


_INSTALLED = {
    Path(loopwright.__file__).parent,
    *(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
}
