"""The stages of a run: announced to the progress display, and timed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from loopwright.search.events import StageEnded
from loopwright.search.progress import Progress


class Stages:
    """``seconds`` holds how long each finished stage took, in order."""

    def __init__(self, progress: Progress):
        self.progress = progress
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Progress]:
        """Runs a stage with ``total`` units of work (``None``: unknown)."""
        self.progress.stage(name, total)
        start = perf_counter()
        yield self.progress
        self.seconds[name] = perf_counter() - start
        self.progress.happened(StageEnded(name, self.seconds[name]))
