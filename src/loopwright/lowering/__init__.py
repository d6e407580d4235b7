"""From loop nests to PyTorch modules and to compiled code."""

from __future__ import annotations
