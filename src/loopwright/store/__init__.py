"""Every verdict and every timing sample, kept and keyed by content: nothing is ever measured or judged twice."""

from __future__ import annotations

from loopwright.store.keys import Failure, Timing, TimingKey, VerdictKey
from loopwright.store.location import default_path
from loopwright.store.store import Store

__all__ = ["Failure", "Store", "Timing", "TimingKey", "VerdictKey", "default_path"]
