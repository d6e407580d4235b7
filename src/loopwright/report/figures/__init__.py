"""One file a figure; each defines ``FIGURE``."""

from __future__ import annotations
