"""What processes that this package starts have in common."""

from __future__ import annotations

import ctypes
import signal
import sys


def end_with_parent() -> None:
    """Has Linux kill this process when its parent ends in any way, even while it is busy; elsewhere nothing is done."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
