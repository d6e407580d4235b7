"""The search for a faster network: space, judge, timing, strategies, and the result on disk."""

from __future__ import annotations
