"""A store in a file: what is there is looked at without writing, and whatever is not ours is refused."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event

from loopwright.errors import StoreError
from loopwright.store import schema
from loopwright.store.faults import refusal
from loopwright.store.json_text import read_json
from loopwright.store.migrations import check_version

BUSY_TIMEOUT_S = 60.0

CHECKED_BYTES = 64 * 1024**2
"""Up to this size every page of a file is checked on opening; damage in a larger one is found when it is read."""

WRITES = "loopwright_writes"
"""The execution option of a connection whose transactions write."""


def file_engine(path: Path) -> Engine:
    """An engine for the file at ``path``, whose folder is made if there is none.

    Raises StoreError for a file that is no store, is damaged, or was written by a newer version; it is left as it is.
    """
    inspect_file(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise refusal(str(path), error) from error
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        connect_args={"timeout": BUSY_TIMEOUT_S},
        json_deserializer=read_json,
    )
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def inspect_file(path: Path) -> None:
    """Raises StoreError unless ``path`` is free, empty, or a store that this version can use. Writes nothing."""
    try:
        if path.is_dir():
            raise StoreError(f"{path} is a folder, not a store; name a file in it with --store {path / 'store.sqlite'}")
        if not path.exists() or path.stat().st_size == 0:
            return
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S)) as file:
            check = "quick_check(1)" if path.stat().st_size <= CHECKED_BYTES else f"quick_check({schema.versions.name})"
            [damage] = file.execute(f"PRAGMA {check}").fetchone()
            tables = {name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            version = _version(file) if schema.versions.name in tables else None
    except (OSError, sqlite3.Error) as error:
        raise refusal(str(path), error) from error
    if damage != "ok":
        raise StoreError(
            f"{path} is damaged ({damage.splitlines()[0]}); move it away, or name another store with --store"
        )
    if tables:
        check_version(str(path), version)


def _version(file: sqlite3.Connection) -> int | None:
    row: tuple[int | None] = file.execute(f"SELECT max(version) FROM {schema.versions.name}").fetchone()
    return row[0]


def _prepare(connection: Any, _record: object) -> None:
    """Several processes read and write at once; SQLAlchemy, not the driver, says where transactions begin.

    A write-ahead log keeps readers and the writer apart, and survives the end of a process at any point.
    """
    connection.isolation_level = None
    connection.execute("PRAGMA synchronous = NORMAL")
    _use_write_ahead_log(connection)


def _use_write_ahead_log(connection: Any) -> None:
    """Unlike everything else, the change of a new file to a write-ahead log doesn't wait for other processes."""
    until = monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or monotonic() > until:
                raise
            sleep(0.01)
        else:
            return


def _begin(connection: Connection) -> None:
    """Writers queue from the start of a transaction, so that none fails half-way; readers wait for nobody."""
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
