"""What processes that this package starts have in common."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

STANDARD_OUTPUT = 1


def end_with_parent() -> None:
    """Has Linux kill this process when its parent ends in any way, even while it is busy; elsewhere nothing is done."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def how_it_ended(code: int | None) -> str:
    """The exit code of a process in words; a negative one is the signal that ended it.

    >>> how_it_ended(-11), how_it_ended(3)
    ('ended by SIGSEGV', 'ended with code 3')
    """
    return f"ended by {signal.Signals(-code).name}" if code is not None and code < 0 else f"ended with code {code}"


@contextmanager
def compiled_code_silent() -> Iterator[None]:
    """Inside, nothing reaches the standard output, whatever compiled libraries print there."""
    sys.stdout.flush()
    kept, nowhere = os.dup(STANDARD_OUTPUT), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, STANDARD_OUTPUT)
    try:
        yield
    finally:
        os.dup2(kept, STANDARD_OUTPUT)
        os.close(kept)
        os.close(nowhere)
