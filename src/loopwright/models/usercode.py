"""Running code that the user wrote: which exceptions are the user's, and at which line they arose."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path

import torch

FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)
"""What a factory or a module's ``forward`` may raise, and tracing it."""

_STDLIB = sysconfig.get_path("stdlib")
_LIBRARIES = (str(Path(torch.__file__).parent), str(Path(__file__).parent) + "/", "<")
_REGISTERED = str(Path(__file__).parent / "sources")


def _is_users(frame: traceback.FrameSummary) -> bool:
    file = frame.filename
    if file.startswith(_REGISTERED) or "site-packages" in file:
        return not file.startswith(_LIBRARIES[0])
    return not file.startswith((*_LIBRARIES, _STDLIB))


def where(error: BaseException) -> str:
    """``file.py:12: the line's text`` of the innermost line outside of libraries; empty if there is none."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}: {(error.text or '').strip()}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame)]
    return f"{frames[-1].filename}:{frames[-1].lineno}: {frames[-1].line}" if frames else ""


def first_line(error: BaseException) -> str:
    """What the error says, in one line."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
