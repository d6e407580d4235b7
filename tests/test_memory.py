from __future__ import annotations

import os
import subprocess
import sys

import pytest

from loopwright.memory import available_bytes, own_bytes, peak_bytes, resident_bytes

MIB = 1024**2
FREED = """
import os
from loopwright.memory import give_back, own_bytes
blocks = [bytes(100_000) for _ in range(2000)]
last = bytes(100_000)
del blocks
before = own_bytes(os.getpid())
give_back()
print(before, own_bytes(os.getpid()))
"""


def test_a_process_has_memory_and_its_peak_is_no_less():
    own, resident, peak = (ask(os.getpid()) for ask in (own_bytes, resident_bytes, peak_bytes))
    assert 0 < own <= resident <= peak + MIB
    assert available_bytes() > 0


def test_a_process_that_ended_has_none():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert own_bytes(child.pid) == resident_bytes(child.pid) == peak_bytes(child.pid) == 0


@pytest.mark.skipif(
    not hasattr(os, "confstr") or "glibc" not in (os.confstr("CS_GNU_LIBC_VERSION") or ""), reason="no glibc"
)
def test_what_was_freed_below_what_is_held_is_given_back():
    done = subprocess.run([sys.executable, "-c", FREED], check=True, capture_output=True, text=True)
    before, after = map(int, done.stdout.split())
    assert before - after > 100 * MIB
