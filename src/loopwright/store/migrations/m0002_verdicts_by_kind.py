"""Verdicts keep whatever else their key holds, and are counted by kinds of reason."""

from __future__ import annotations

from sqlalchemy import Connection, text

KIND_LENGTH = 200


def upgrade(connection: Connection) -> None:
    """Adds ``conditions`` and ``kind``; the kind of a reason is what stands before its first colon."""
    connection.execute(text("ALTER TABLE verdicts ADD COLUMN conditions JSON DEFAULT '{}' NOT NULL"))
    connection.execute(text("ALTER TABLE verdicts ADD COLUMN kind VARCHAR DEFAULT '' NOT NULL"))
    judged = connection.execute(text("SELECT digest, reason FROM verdicts")).all()
    kinds = [{"digest": digest, "kind": reason.partition(":")[0][:KIND_LENGTH]} for digest, reason in judged]
    if kinds:
        connection.execute(text("UPDATE verdicts SET kind = :kind WHERE digest = :digest"), kinds)
    connection.execute(text('CREATE INDEX verdicts_by_kind ON verdicts (network, "check", legal, kind)'))
