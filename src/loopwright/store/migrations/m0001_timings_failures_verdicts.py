"""The first tables: environments, timings, failures and verdicts."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Connection, DateTime, Index, Integer, MetaData, String, Table, func


def upgrade(connection: Connection) -> None:
    """Makes all tables."""
    metadata = MetaData()
    Table("loopwright_schema", metadata, Column("version", Integer, primary_key=True))
    Table(
        "environments",
        metadata,
        Column("hash", String, primary_key=True),
        Column("description", JSON, nullable=False),
    )
    _timed(metadata, "timings", Column("samples_ms", JSON, nullable=False))
    _timed(metadata, "failures", Column("stage", String, nullable=False), Column("message", String, nullable=False))
    Table(
        "verdicts",
        metadata,
        Column("digest", String(64), primary_key=True),
        *(Column(field, String, nullable=False) for field in ("network", "candidate", "check", "minibatch")),
        Column("legal", Boolean, nullable=False),
        Column("reason", String, nullable=False),
        Column("witness", String),
        Column("scores", JSON, nullable=False),
        Column("created", DateTime(timezone=True), nullable=False, server_default=func.now()),
    )
    metadata.create_all(connection)


def _timed(metadata: MetaData, name: str, *columns: Column[str]) -> None:
    fields = ("operator", "target", "schedule", "environment", "protocol")
    Table(
        name,
        metadata,
        Column("id", Integer, primary_key=True),
        Column("digest", String(64), nullable=False, index=True),
        *(Column(field, String, nullable=False) for field in fields),
        *columns,
        Column("created", DateTime(timezone=True), nullable=False, server_default=func.now()),
        Index(f"{name}_by_operator", "operator", "target", "environment"),
    )
