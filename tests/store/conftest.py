"""Stores to test: a file, and a database of a PostgreSQL server that the tests start themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from loopwright.store import Store
from tests.store.server import Server, UnavailableError


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A PostgreSQL server of this session's own; skips where there can be none."""
    try:
        running = Server.start()
    except UnavailableError as reason:
        pytest.skip(f"no PostgreSQL server: {reason}")
    with running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """What names a store that doesn't exist yet: a path, and the address of an empty database."""
    if request.param == "sqlite":
        return str(tmp_path / "deep" / "store.sqlite")
    server: Server = request.getfixturevalue("server")
    return server.new_database()


@pytest.fixture
def store(where: str) -> Iterator[Store]:
    with Store.open(where) as opened:
        yield opened
