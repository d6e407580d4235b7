"""A store in a PostgreSQL database, which several machines may use at once."""

from __future__ import annotations

from importlib.util import find_spec

from sqlalchemy import URL, Connection, Engine, create_engine, text

from loopwright.errors import StoreError
from loopwright.store.json_text import read_json

CONNECT_TIMEOUT_S = 5
"""How long to wait for a server that doesn't answer; ``connect_timeout=`` in the address says otherwise."""

_MIGRATING = 0x100B3712
"""The number of the advisory lock that a process holds while it makes or changes tables."""


def server_engine(url: URL) -> Engine:
    """An engine for the database; it connects when it is first used, and again after the server was restarted.

    Raises StoreError where psycopg is not installed.
    """
    if find_spec("psycopg") is None:
        raise StoreError("a store on PostgreSQL needs psycopg; pip install 'loopwright[postgresql]'")
    query = {"connect_timeout": str(CONNECT_TIMEOUT_S), "application_name": "loopwright", **url.query}
    return create_engine(url.set(query=query), pool_pre_ping=True, json_deserializer=read_json)


def lock_for_migration(connection: Connection) -> None:
    """Waits until no other process makes or changes tables; until the end of the transaction none will."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _MIGRATING})
