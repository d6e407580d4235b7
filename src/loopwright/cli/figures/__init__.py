"""``loopwright reproduce FIGURE``: one file a figure, named like it; each defines ``command``."""

from __future__ import annotations
