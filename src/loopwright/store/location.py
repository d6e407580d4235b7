"""Where a store lies: a file, by default in the user's cache folder, or a PostgreSQL database."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from loopwright.errors import StoreError

POSTGRESQL = ("postgresql", "postgres")
_FORM = "postgresql://USER@HOST:PORT/DATABASE"


def default_path(environment: Mapping[str, str] = os.environ) -> Path:
    """``$XDG_CACHE_HOME/loopwright/store.sqlite``; the cache folder is ``~/.cache`` where the variable is not set."""
    cache = environment.get("XDG_CACHE_HOME", "")
    folder = Path(cache) if Path(cache).is_absolute() else Path.home() / ".cache"
    return folder / "loopwright" / "store.sqlite"


def located(where: str | Path) -> Path | URL:
    """A file's path, or the address of a PostgreSQL database.

    Raises StoreError for an address of another kind, or one that can't be read; its password is never repeated.
    """
    text = str(where)
    scheme, separator, _ = text.partition(":/" if isinstance(where, Path) else "://")
    if not separator or "/" in scheme:
        return Path(where).expanduser()
    if scheme not in POSTGRESQL:
        raise StoreError(f"a store can't be kept at a {scheme} address; name a file, or {_FORM}")
    if isinstance(where, Path):
        raise StoreError(f"an address is no path, which would join its slashes; pass {_FORM} as text")
    try:
        return make_url(text).set(drivername="postgresql+psycopg")
    except (ArgumentError, ValueError):
        raise StoreError(f"the store's address can't be read; write {_FORM}") from None


def shown(address: Path | URL) -> str:
    """How messages name the store: without password, and without options that may hold one."""
    if isinstance(address, Path):
        return str(address)
    plain = URL.create("postgresql", address.username, None, address.host, address.port, address.database)
    return plain.render_as_string()
