"""The tables of a store. A change of a table's meaning raises `VERSION`."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, DateTime, Index, Integer, MetaData, String, Table, func

VERSION = 1

metadata = MetaData()

versions = Table("loopwright_schema", metadata, Column("version", Integer, primary_key=True))

environments = Table(
    "environments",
    metadata,
    Column("hash", String, primary_key=True),
    Column("description", JSON, nullable=False),
)


def _timed(name: str, *columns: Column[str]) -> Table:
    """A table keyed by the fields of `TimingKey`."""
    fields = ("operator", "target", "schedule", "environment", "protocol")
    return Table(
        name,
        metadata,
        Column("id", Integer, primary_key=True),
        Column("digest", String(64), nullable=False, index=True),
        *(Column(field, String, nullable=False) for field in fields),
        *columns,
        Column("created", DateTime, nullable=False, server_default=func.now()),
        Index(f"{name}_by_operator", "operator", "target", "environment"),
    )


timings = _timed("timings", Column("samples_ms", JSON, nullable=False))
failures = _timed("failures", Column("stage", String, nullable=False), Column("message", String, nullable=False))

verdicts = Table(
    "verdicts",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("network", String, nullable=False),
    Column("candidate", String, nullable=False),
    Column("check", String, nullable=False),
    Column("minibatch", String, nullable=False),
    Column("legal", Boolean, nullable=False),
    Column("reason", String, nullable=False),
    Column("witness", String),
    Column("scores", JSON, nullable=False),
    Column("created", DateTime, nullable=False, server_default=func.now()),
)
