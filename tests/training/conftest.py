"""Trainings of small networks."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def small_networks(one_thread: None) -> None:
    """They train on one thread."""
