"""Opening a store's file: what is there is looked at without writing, and whatever is not ours is refused."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import DatabaseError

from loopwright.errors import StoreError
from loopwright.store import schema

BUSY_TIMEOUT_S = 60.0
_ADVICE = "move it away or name another file with --store"


def open_engine(path: Path) -> Engine:
    """The engine of the store at ``path``, which is created (with its folder) if there is none.

    Raises StoreError for a file that is no store, is damaged, or was written by a newer version; it is left as it is.
    """
    inspect_file(path)
    engine = _engine(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with engine.begin() as connection:
            schema.metadata.create_all(connection)
            connection.execute(insert(schema.versions).values(version=schema.VERSION).on_conflict_do_nothing())
    except (OSError, DatabaseError) as error:
        engine.dispose()
        raise StoreError(f"cannot create a store at {path}: {root_cause(error)}; {_ADVICE}") from error
    return engine


def inspect_file(path: Path) -> None:
    """Raises StoreError unless ``path`` is free, empty, or a store of this version in good order. Writes nothing."""
    if path.is_dir():
        raise StoreError(f"{path} is a folder, not a store; name a file in it with --store {path / 'store.sqlite'}")
    if not path.exists() or path.stat().st_size == 0:
        return
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S)) as file:
            damage = file.execute("PRAGMA quick_check(1)").fetchone()[0]
            tables = {name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            version = _version(file) if schema.versions.name in tables else None
    except sqlite3.DatabaseError as error:
        raise StoreError(f"{path} is damaged or not a Loopwright store ({error}); {_ADVICE}") from error
    if damage != "ok":
        raise StoreError(f"{path} is damaged ({damage.splitlines()[0]}); {_ADVICE}")
    if tables:
        _check_version(path, version)


def root_cause(error: Exception) -> str:
    """What the driver said, without the statement that SQLAlchemy adds."""
    return str(error.orig if isinstance(error, DatabaseError) else error)


def _version(file: sqlite3.Connection) -> int | None:
    row: tuple[int | None] = file.execute(f"SELECT max(version) FROM {schema.versions.name}").fetchone()
    return row[0]


def _check_version(path: Path, version: int | None) -> None:
    if version is None:
        raise StoreError(f"{path} is a database but not a Loopwright store; name another file with --store")
    if version > schema.VERSION:
        raise StoreError(
            f"{path} was written by a newer Loopwright (schema {version}, this one knows {schema.VERSION}); "
            "upgrade Loopwright or name another file with --store"
        )


def _engine(path: Path) -> Engine:
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_TIMEOUT_S})
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: Any, _record: object) -> None:
    """Several processes read and write at once; SQLAlchemy, not the driver, says where transactions begin."""
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")


def _begin(connection: Any) -> None:
    """Writers queue from the start of a transaction, so that none fails half-way."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")
