"""What all tests share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Hashable, Iterator
from typing import Any, ClassVar

import pytest
import torch

from loopwright.isolation import Isolated, _Fresh
from loopwright.search import timing


class Shared(Isolated):
    """Leaves its process to the next one that starts in the same environment, if no fault has ended it: what the
    process imports takes seconds."""

    idle: ClassVar[dict[Hashable, _Fresh]] = {}

    def __init__(self, *given: Any):
        super().__init__(*given)
        self._key = (*sys.path, *(own for own in os.environ.items() if own[0] != "PYTEST_CURRENT_TEST"))
        self._busy = False

    def call(self, work: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        self._process = self._process or self.idle.pop(self._key, None)
        self._busy = True
        try:
            return super().call(work, *arguments, **named)
        finally:
            self._busy = False

    def close(self) -> None:
        if self._process is not None and not self._busy and self._key not in self.idle:
            self.idle[self._key], self._process = self._process, None
        super().close()


@pytest.fixture(autouse=True, scope="session")
def shared_process() -> Iterator[None]:
    """One process builds and times for all tests that this process runs."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(timing, "Isolated", Shared)
        yield
    for process in Shared.idle.values():
        process.end()


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Networks this small gain nothing from more, and lose much where the machine is busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
