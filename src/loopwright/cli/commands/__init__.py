"""One file a command; each defines ``command``."""

from __future__ import annotations
