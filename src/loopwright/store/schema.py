"""The tables of a store as the newest migration leaves them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, Boolean, Column, DateTime, Index, Integer, MetaData, String, Table, func

TIMING_FIELDS = ("operator", "target", "schedule", "environment", "protocol")
VERDICT_FIELDS = ("network", "candidate", "check", "minibatch")

metadata = MetaData()

versions = Table("loopwright_schema", metadata, Column("version", Integer, primary_key=True))

environments = Table(
    "environments",
    metadata,
    Column("hash", String, primary_key=True),
    Column("description", JSON, nullable=False),
)


def _created() -> Column[datetime]:
    return Column("created", DateTime(timezone=True), nullable=False, server_default=func.now())


def _timed(name: str, *columns: Column[str]) -> Table:
    """A table keyed by the fields of `TimingKey`, to which rows are only ever added."""
    return Table(
        name,
        metadata,
        Column("id", Integer, primary_key=True),
        Column("digest", String(64), nullable=False, index=True),
        *(Column(field, String, nullable=False) for field in TIMING_FIELDS),
        *columns,
        _created(),
        Index(f"{name}_by_operator", "operator", "target", "environment"),
    )


timings = _timed("timings", Column("samples_ms", JSON, nullable=False))
failures = _timed("failures", Column("stage", String, nullable=False), Column("message", String, nullable=False))

# ``conditions`` holds the fields of `VerdictKey` that have no column; ``kind`` is the reason without its particulars.
verdicts = Table(
    "verdicts",
    metadata,
    Column("digest", String(64), primary_key=True),
    *(Column(field, String, nullable=False) for field in VERDICT_FIELDS),
    Column("legal", Boolean, nullable=False),
    Column("reason", String, nullable=False),
    Column("witness", String),
    Column("scores", JSON, nullable=False),
    _created(),
    Column("conditions", JSON, nullable=False, server_default="{}"),
    Column("kind", String, nullable=False, server_default=""),
    Index("verdicts_by_kind", "network", "check", "legal", "kind"),
)
