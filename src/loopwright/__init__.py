"""Makes convolutional networks faster by treating neural-architecture choices as program transformations.

Public names are imported when they are first used: importing this package loads neither PyTorch nor TVM.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loopwright.api import optimize, resume
    from loopwright.building import build
    from loopwright.calibrating import calibrate
    from loopwright.compiling import compile  # noqa: A004 - what it does, and the command's name
    from loopwright.errors import LoopwrightError
    from loopwright.evaluating import evaluate
    from loopwright.exporting import export
    from loopwright.models.trace import trace
    from loopwright.operators import parse as parse_operator
    from loopwright.search.deliver import load
    from loopwright.training.train import resume_training, train
    from loopwright.transformations import TransformationSequence

__version__ = "0.1.0"

__all__ = [
    "LoopwrightError",
    "TransformationSequence",
    "build",
    "calibrate",
    "compile",
    "evaluate",
    "export",
    "load",
    "optimize",
    "parse_operator",
    "resume",
    "resume_training",
    "trace",
    "train",
]

_HOMES = {
    "LoopwrightError": ("loopwright.errors", "LoopwrightError"),
    "TransformationSequence": ("loopwright.transformations", "TransformationSequence"),
    "build": ("loopwright.building", "build"),
    "calibrate": ("loopwright.calibrating", "calibrate"),
    "compile": ("loopwright.compiling", "compile"),
    "evaluate": ("loopwright.evaluating", "evaluate"),
    "export": ("loopwright.exporting", "export"),
    "load": ("loopwright.search.deliver", "load"),
    "optimize": ("loopwright.api", "optimize"),
    "parse_operator": ("loopwright.operators", "parse"),
    "resume": ("loopwright.api", "resume"),
    "resume_training": ("loopwright.training.train", "resume_training"),
    "trace": ("loopwright.models.trace", "trace"),
    "train": ("loopwright.training.train", "train"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
