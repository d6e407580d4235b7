"""Every verdict and every timing sample, kept and keyed by content: nothing is ever measured or judged twice."""

from __future__ import annotations

from loopwright.store.keys import Failure, StoreCounts, Timing, TimingKey, VerdictCount, VerdictKey
from loopwright.store.location import default_path
from loopwright.store.store import Store

__all__ = [
    "Failure",
    "Store",
    "StoreCounts",
    "Timing",
    "TimingKey",
    "VerdictCount",
    "VerdictKey",
    "default_path",
]
