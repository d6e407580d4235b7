"""Opening a store, wherever it lies, and bringing it to this version."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from loopwright.errors import StoreError
from loopwright.store.faults import refusal
from loopwright.store.location import shown
from loopwright.store.migrations import migrate
from loopwright.store.postgresql import lock_for_migration, server_engine
from loopwright.store.sqlite_file import WRITES, file_engine


def open_engine(address: Path | URL) -> Engine:
    """The engine of the store at ``address``, which is created if there is none, and migrated if it is older.

    Raises StoreError for what is no store, is damaged, can't be reached or written, or was written by a newer version;
    it is left as it is.
    """
    engine = file_engine(address) if isinstance(address, Path) else server_engine(address)
    try:
        with transaction(engine, shown(address), writes=True) as connection:
            if engine.dialect.name == "postgresql":
                lock_for_migration(connection)
            migrate(connection, shown(address))
    except StoreError:
        engine.dispose()
        raise
    return engine


@contextmanager
def transaction(engine: Engine, name: str, *, writes: bool) -> Iterator[Connection]:
    """A connection whose statements count together or not at all; raises StoreError where the database fails."""
    try:
        with engine.connect().execution_options(**{WRITES: writes}) as connection, connection.begin():
            yield connection
    except SQLAlchemyError as error:
        raise refusal(name, error) from error
