"""The stages of a run: announced to the progress display, and timed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter

from loopwright.search.events import Callback, StageEnded
from loopwright.search.logs import log_event
from loopwright.search.progress import CallbackProgress, Progress, SeveralProgress


class Stages:
    """Stages that are told to ``progress``. ``seconds`` holds how long each finished stage took, in order."""

    def __init__(self, progress: Progress):
        self.progress = progress
        self.seconds: dict[str, float] = {}

    @classmethod
    def watched(cls, progress: Progress | None, callbacks: Sequence[Callback]) -> Stages:
        """Told to the log, the callbacks and the progress display, if there is one."""
        told = [CallbackProgress(callback) for callback in (log_event, *callbacks)]
        return cls(SeveralProgress(*told, *([progress] if progress else [])))

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Progress]:
        """Runs a stage with ``total`` units of work (``None``: unknown)."""
        self.progress.stage(name, total)
        start = perf_counter()
        yield self.progress
        self.seconds[name] = perf_counter() - start
        self.progress.happened(StageEnded(name, self.seconds[name]))
