"""What a run found, for people: numbers first, then figures, then one page."""

from __future__ import annotations
