"""The store: every timing sample, every verdict and every failure, kept in one SQLite file and found by content.

Several processes may use one store at once. Records are only ever added (timings, failures) or replaced by an equal
judgement (verdicts); nothing is deleted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from sqlalchemy import Connection, Engine, Row, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import DatabaseError

from loopwright.errors import StoreError
from loopwright.legality.verdict import Verdict
from loopwright.store import schema
from loopwright.store.keys import Failure, Timing, TimingKey, VerdictKey
from loopwright.store.opening import open_engine, root_cause


class Store:
    """An open store; a context manager that closes it.

    Every method raises StoreError when the file can no longer be read or written.
    """

    def __init__(self, path: Path, engine: Engine):
        self.path = path
        self._engine = engine

    @classmethod
    def open(cls, path: str | Path) -> Store:
        """The store at ``path``, created if there is none.

        Raises StoreError for a file that is no store, is damaged, or was written by a newer version.
        """
        path = Path(path).expanduser()
        return cls(path, open_engine(path))

    def close(self) -> None:
        """Closes the file; the store can't be used afterwards."""
        self._engine.dispose()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def timing(self, key: TimingKey) -> Timing | None:
        """All samples ever recorded under ``key``; None if it was never timed."""
        table = schema.timings
        query = select(table.c.samples_ms).where(table.c.digest == key.digest).order_by(table.c.id)
        with self._transaction() as connection:
            rows = connection.execute(query).scalars().all()
        samples = tuple(sample for row in rows for sample in row)
        return Timing(key, samples) if samples else None

    def timings(self, operator: str, target: str, environment: str) -> list[Timing]:
        """The timings of one operator under all schedules and protocols, fastest first."""
        table = schema.timings
        query = select(table).where(
            table.c.operator == operator, table.c.target == target, table.c.environment == environment
        )
        samples: dict[TimingKey, list[float]] = defaultdict(list)
        with self._transaction() as connection:
            for row in connection.execute(query.order_by(table.c.id)):
                samples[_timing_key(row)] += row.samples_ms
        return sorted(
            (Timing(key, tuple(found)) for key, found in samples.items()), key=lambda timing: timing.median_ms
        )

    def record_timing(self, key: TimingKey, samples_ms: Sequence[float]) -> None:
        """Adds samples, in milliseconds, to those already kept under ``key``."""
        if not samples_ms:
            raise StoreError(f"no samples to record for operator {key.operator}")
        values = {**asdict(key), "digest": key.digest, "samples_ms": [float(sample) for sample in samples_ms]}
        with self._transaction() as connection:
            connection.execute(insert(schema.timings).values(values))

    def failure(self, key: TimingKey) -> Failure | None:
        """The latest failure recorded under ``key``, if there is one."""
        table = schema.failures
        query = select(table).where(table.c.digest == key.digest).order_by(table.c.id.desc()).limit(1)
        with self._transaction() as connection:
            row = connection.execute(query).first()
        return Failure(key, row.stage, row.message) if row else None

    def record_failure(self, failure: Failure) -> None:
        """Keeps that a workload could not be timed, so that it isn't tried again."""
        key = failure.key
        values = {**asdict(key), "digest": key.digest, "stage": failure.stage, "message": failure.message}
        with self._transaction() as connection:
            connection.execute(insert(schema.failures).values(values))

    def verdict(self, key: VerdictKey) -> Verdict | None:
        """What the check said of the candidate; None if it was never asked."""
        query = select(schema.verdicts).where(schema.verdicts.c.digest == key.digest)
        with self._transaction() as connection:
            row = connection.execute(query).first()
        return Verdict(row.legal, row.check, row.reason, row.witness, row.scores) if row else None

    def record_verdict(self, key: VerdictKey, verdict: Verdict) -> None:
        """Keeps a verdict; one already kept under ``key`` is replaced."""
        said = {
            "legal": verdict.legal,
            "reason": verdict.reason,
            "witness": verdict.witness,
            "scores": {name: float(score) for name, score in verdict.scores.items()},
        }
        fields = {name: value for name, value in asdict(key).items() if name in schema.verdicts.columns}
        statement = insert(schema.verdicts).values({**fields, "digest": key.digest, **said})
        with self._transaction() as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=["digest"], set_=said))

    def environment(self, digest: str) -> dict[str, Any] | None:
        """The description recorded for the environment of that hash."""
        table = schema.environments
        with self._transaction() as connection:
            row = connection.execute(select(table.c.description).where(table.c.hash == digest)).first()
        return dict(row.description) if row else None

    def record_environment(self, digest: str, description: Mapping[str, Any]) -> None:
        """Keeps what the hash in the keys of timings stands for."""
        statement = insert(schema.environments).values(hash=digest, description=dict(description))
        with self._transaction() as connection:
            connection.execute(statement.on_conflict_do_nothing())

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except DatabaseError as error:
            raise StoreError(
                f"the store {self.path} can't be used ({root_cause(error)}); name another file with --store"
            ) from error


def _timing_key(row: Row[Any]) -> TimingKey:
    return TimingKey(row.operator, row.target, row.schedule, row.environment, row.protocol)
