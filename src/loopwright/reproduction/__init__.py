"""The figures of the paper, measured again."""

from __future__ import annotations
