"""How much memory there is, and how much processes take (on Linux; elsewhere nothing is known of processes)."""

from __future__ import annotations

import ctypes
import os
import re
from contextlib import suppress
from pathlib import Path

GROUP = Path("/sys/fs/cgroup")


def usable_bytes() -> int:
    """The memory that this machine has, or that this process's control group may use."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, ValueError):  # no control group, or one without a limit ("max")
        physical = min(physical, int((GROUP / "memory.max").read_text()))
    return physical


def available_bytes() -> int:
    """What of it can still be taken without swapping."""
    available = _kibibytes(Path("/proc/meminfo"), "MemAvailable")
    with suppress(OSError, ValueError):
        limit = int((GROUP / "memory.max").read_text())
        taken = re.search(r"^anon (\d+)$", (GROUP / "memory.stat").read_text(), re.MULTILINE)
        available = min(available, limit - int(taken[1]) if taken else limit)
    return max(0, available)


def resident_bytes(pid: int) -> int:
    """What a process has in memory now, what it shares with others included; 0 once it has ended."""
    return _kibibytes(Path(f"/proc/{pid}/status"), "VmRSS")


def own_bytes(pid: int) -> int:
    """The same without files that are mapped; what a fork of it begins with."""
    return _kibibytes(Path(f"/proc/{pid}/status"), "RssAnon")


def peak_bytes(pid: int) -> int:
    """The most that it has had resident."""
    return _kibibytes(Path(f"/proc/{pid}/status"), "VmHWM")


def give_back() -> None:
    """Gives what this process has freed back to the system, where the C library keeps it (glibc does)."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def _kibibytes(path: Path, name: str) -> int:
    """A line such as ``VmRSS:  1024 kB``, in bytes."""
    with suppress(OSError):
        if found := re.search(rf"^{name}:\s+(\d+) kB$", path.read_text(), re.MULTILINE):
            return 1024 * int(found[1])
    return 0
