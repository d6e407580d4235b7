"""What the user is told when a database fails: one line that says which store, what is wrong, and what to do."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError

from loopwright.errors import StoreError
from loopwright.passwords import hide_passwords

_ANOTHER = "name another store with --store"

# SQLite's codes (the low byte of the extended ones) and PostgreSQL's classes (the first digits of an SQLSTATE).
_ADVICE = {
    sqlite3.SQLITE_FULL: ("the disk of {name} is full", "free some space, or"),
    sqlite3.SQLITE_READONLY: ("{name} can't be written", "mend its permissions, or"),
    sqlite3.SQLITE_CANTOPEN: ("{name} can't be written", "mend its permissions, or"),
    sqlite3.SQLITE_PERM: ("{name} can't be written", "mend its permissions, or"),
    sqlite3.SQLITE_CORRUPT: ("{name} is damaged", "move it away, or"),
    sqlite3.SQLITE_NOTADB: ("{name} is damaged or not a Loopwright store", "move it away, or"),
    sqlite3.SQLITE_BUSY: ("another program keeps {name} locked", "end that, or"),
    "53100": ("the disk of {name} is full", "free some space, or"),
    "42501": ("{name} may not be written", "grant its user the rights (docs/store.md), or"),
    "25006": ("{name} can't be written", "take the primary server, or"),
    "28": ("{name} refuses the user or the password", "mend them (PGPASSWORD or ~/.pgpass holds a password), or"),
    "3D": ("{name} does not exist", "create the database, or"),
    "57": ("{name} has gone away", "start the server again, or"),
    "08": ("{name} can't be reached", "start the server, mend the address, or"),
}


def refusal(name: str, error: Exception) -> StoreError:
    """The StoreError to raise for what a driver, SQLAlchemy or the operating system raised at the store ``name``."""
    what, advice = _matching(error)
    return StoreError(f"{what.format(name=name)} ({cause(error)}); {advice} {_ANOTHER}")


def cause(error: Exception) -> str:
    """What the driver said, in one line, without the statement that SQLAlchemy adds and without passwords."""
    original = error.orig if isinstance(error, DBAPIError) else error
    said = original.strerror if isinstance(original, OSError) and original.strerror else str(original)
    lines = [line.strip(" \t-") for line in said.splitlines() if line.strip()]
    return hide_passwords(_plain(lines)) or type(original).__name__


def _plain(lines: list[str]) -> str:
    """The line that says why: that of the last attempt, where a driver lists all that it made to connect."""
    reasons = [line for line in lines if "failed: " in line or "timeout" in line]
    return (reasons or lines or [""])[-1 if len(reasons) > 1 else 0]


def _matching(error: Exception) -> tuple[str, str]:
    original = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(original, sqlite3.Error):
        return _ADVICE.get(getattr(original, "sqlite_errorcode", 0) & 0xFF, ("{name} can't be used", "mend it, or"))
    if isinstance(original, OSError):
        return "cannot open or create a store at {name}", "mend its folder, or"
    state = str(getattr(original, "sqlstate", None) or _state(str(original)))
    return _ADVICE.get(state) or _ADVICE.get(state[:2]) or ("{name} can't be used", "mend it, or")


def _state(message: str) -> str:
    """The SQLSTATE that a refused connection would have: libpq gives none, but always the server's words."""
    if "authentication failed" in message or "no password supplied" in message or "no pg_hba.conf entry" in message:
        return "28000"
    if "does not exist" in message and "role" not in message:
        return "3D000"
    return "28000" if "role" in message and "does not exist" in message else "08000"
