"""Numbered migrations, one file each: ``m0001_what_it_does.py`` with a function ``upgrade(connection)``.

A store remembers which it has had. Opening it runs the rest in one transaction, while other processes wait, so that it
is of one version or the next and of none between. A migration is never changed once it has been released.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from sqlalchemy import Connection, func, insert, inspect, select

from loopwright.errors import StoreError
from loopwright.registry import modules
from loopwright.store import schema


@dataclass(frozen=True)
class Migration:
    """Takes a store of version ``number - 1`` to ``number``."""

    number: int
    upgrade: Callable[[Connection], None]


@cache
def migrations() -> tuple[Migration, ...]:
    """All migrations, in order."""
    return tuple(
        Migration(int(module.__name__.rpartition(".m")[2][:4]), module.upgrade) for module in modules(__name__)
    )


def newest() -> int:
    """The version of the stores that this Loopwright writes."""
    return migrations()[-1].number


def check_version(name: str, version: int | None) -> None:
    """Raises StoreError unless a store of that version can be used; None stands for a database that is no store."""
    if version is None:
        raise StoreError(f"{name} is a database but not a Loopwright store; name another one with --store")
    if version > newest():
        raise StoreError(
            f"{name} was written by a newer Loopwright (schema {version}, this one knows {newest()}); "
            "upgrade Loopwright or name another store with --store"
        )


def migrate(connection: Connection, name: str) -> None:
    """Brings the store to the newest version, from whichever it has; an empty database becomes a store.

    Raises StoreError for another program's database, and for a store of a newer version.
    """
    version = _version(connection)
    if version != 0:
        check_version(name, version)
    for migration in migrations():
        if migration.number > (version or 0):
            migration.upgrade(connection)
            connection.execute(insert(schema.versions).values(version=migration.number))


def _version(connection: Connection) -> int | None:
    """0 for an empty database, None for one that is no store."""
    tables = inspect(connection).get_table_names()
    if schema.versions.name not in tables:
        return None if tables else 0
    version: int | None = connection.execute(select(func.max(schema.versions.c.version))).scalar_one()
    return version
