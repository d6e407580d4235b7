"""Runs as they are, but for how long networks are timed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from loopwright.measurement.timer import Protocol
from loopwright.search import run


@pytest.fixture(autouse=True, scope="module")
def _networks_are_timed_shortly() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(run, "NETWORKS", Protocol(rounds=5, sample_ms=5.0))
        yield
