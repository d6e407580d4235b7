"""Loop nests over isl: domains, accesses, schedules, the two verbs that change them, and what they compute."""

from __future__ import annotations
