"""The store: every timing sample, every verdict and every failure, kept in a database and found by content.

Several processes may use one store at once, and several machines one on PostgreSQL. Records are only ever added
(timings, failures) or replaced by an equal judgement (verdicts); nothing is deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from itertools import islice
from math import isfinite
from pathlib import Path
from types import TracebackType
from typing import Any

from sqlalchemy import Connection, Engine, Row, Select, Table, func, select
from sqlalchemy.dialects import postgresql, sqlite

from loopwright.errors import StoreError
from loopwright.legality.verdict import Verdict
from loopwright.store import schema
from loopwright.store.keys import Failure, StoreCounts, Timing, TimingKey, VerdictCount, VerdictKey
from loopwright.store.location import located, shown
from loopwright.store.opening import open_engine, transaction

KIND_LENGTH = 200
"""Longest kind of reason that verdicts are counted by, in characters."""

ASKED_AT_ONCE = 1000
"""Operators in one query; both databases bound the parameters of a statement."""


class Store:
    """An open store; a context manager that closes it. ``name`` is its path or its address, without password.

    Every method raises StoreError when the database can no longer be read or written.
    """

    def __init__(self, name: str, engine: Engine):
        self.name = name
        self._engine = engine

    @classmethod
    def open(cls, where: str | Path) -> Store:
        """The store in the file ``where``, or in the PostgreSQL database of that address; created if there is none.

        Raises StoreError for what is no store, is damaged, can't be reached or written, or was written by a newer
        version.
        """
        address = located(where)
        return cls(shown(address), open_engine(address))

    def close(self) -> None:
        """Closes the database; the store can't be used afterwards."""
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
        with self._reading() as connection:
            rows = connection.execute(query).scalars().all()
        samples = tuple(sample for row in rows for sample in row)
        return Timing(key, samples) if samples else None

    def timings(self, operator: str, target: str, environment: str) -> list[Timing]:
        """The timings of one operator under all schedules and protocols, fastest first."""
        return self.timings_by_operator(target, environment, [operator]).get(operator, [])

    def timings_by_operator(self, target: str, environment: str, operators: Iterable[str]) -> dict[str, list[Timing]]:
        """As `timings`, of many operators at once.

        Operators that never were are left out. The first timing of each is of its best schedule.
        """
        table = schema.timings
        query = select(table.c.digest, table.c.samples_ms, table.c.operator, table.c.schedule, table.c.protocol)
        query = query.where(table.c.target == target, table.c.environment == environment).order_by(table.c.id)
        found: dict[str, Timing] = {}
        with self._reading() as connection:
            for part in _in_parts(query, table, operators):
                for digest, samples, operator, schedule, protocol in connection.execute(part):
                    earlier = found.get(digest)
                    if earlier is None:
                        key = TimingKey(operator, target, schedule, environment, protocol)
                        found[digest] = Timing(key, tuple(samples))
                    else:
                        found[digest] = Timing(earlier.key, (*earlier.samples_ms, *samples))
            return _fastest_first(found.values())

    def record_timing(self, key: TimingKey, samples_ms: Sequence[float]) -> None:
        """Adds samples, in milliseconds, to those already kept under ``key``."""
        samples = [float(sample) for sample in samples_ms]
        if not samples:
            raise StoreError(f"no samples to record for operator {key.operator}")
        if not all(map(isfinite, samples)):
            raise StoreError(f"samples of operator {key.operator} are not all numbers: {samples}")
        values = {**asdict(key), "digest": key.digest, "samples_ms": samples}
        with self._writing() as connection:
            connection.execute(self._insert(schema.timings).values(values))

    def failure(self, key: TimingKey) -> Failure | None:
        """The latest failure recorded under ``key``, if there is one."""
        table = schema.failures
        query = select(table).where(table.c.digest == key.digest).order_by(table.c.id.desc()).limit(1)
        with self._reading() as connection:
            row = connection.execute(query).first()
        return Failure(key, row.stage, row.message) if row else None

    def record_failure(self, failure: Failure) -> None:
        """Keeps that a workload could not be timed, so that it isn't tried again."""
        key = failure.key
        values = {**asdict(key), "digest": key.digest, "stage": failure.stage, "message": _storable(failure.message)}
        with self._writing() as connection:
            connection.execute(self._insert(schema.failures).values(values))

    def verdict(self, key: VerdictKey) -> Verdict | None:
        """What the check said of the candidate; None if it was never asked."""
        query = select(schema.verdicts).where(schema.verdicts.c.digest == key.digest)
        with self._reading() as connection:
            row = connection.execute(query).first()
        return _verdict(row) if row else None

    def record_verdict(self, key: VerdictKey, verdict: Verdict) -> None:
        """Keeps a verdict; one already kept under ``key`` is replaced."""
        said = {
            "legal": verdict.legal,
            "reason": _storable(verdict.reason),
            "kind": _storable(verdict.reason).partition(":")[0][:KIND_LENGTH],
            "witness": None if verdict.witness is None else _storable(verdict.witness),
            "scores": {name: _json_number(score) for name, score in verdict.scores.items()},
        }
        statement = self._insert(schema.verdicts).values({**_verdict_columns(key), "digest": key.digest, **said})
        with self._writing() as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=["digest"], set_=said))

    def verdict_counts(self, network: str | None = None) -> list[VerdictCount]:
        """Verdicts by check, outcome and kind of reason, most frequent first; of one network, or of all."""
        table = schema.verdicts
        columns = (table.c.check, table.c.legal, table.c.kind)
        count = func.count()
        query = select(*columns, count).group_by(*columns).order_by(count.desc(), *columns)
        if network is not None:
            query = query.where(table.c.network == network)
        with self._reading() as connection:
            return [VerdictCount(*row) for row in connection.execute(query)]

    def environment(self, digest: str) -> dict[str, Any] | None:
        """The description recorded for the environment of that hash."""
        table = schema.environments
        with self._reading() as connection:
            row = connection.execute(select(table.c.description).where(table.c.hash == digest)).first()
        return dict(row.description) if row else None

    def record_environment(self, digest: str, description: Mapping[str, Any]) -> None:
        """Keeps what the hash in the keys of timings stands for."""
        statement = self._insert(schema.environments).values(hash=digest, description=dict(description))
        with self._writing() as connection:
            connection.execute(statement.on_conflict_do_nothing())

    def counts(self) -> StoreCounts:
        """How many records of each kind the store holds."""
        samples = select(func.sum(func.json_array_length(schema.timings.c.samples_ms)))
        tables = (schema.timings, schema.failures, schema.verdicts, schema.environments)
        with self._reading() as connection:
            timings, failures, verdicts, environments = (_size(connection, table) for table in tables)
            return StoreCounts(verdicts, timings, connection.scalar(samples) or 0, failures, environments)

    def _reading(self) -> AbstractContextManager[Connection]:
        return transaction(self._engine, self.name, writes=False)

    def _writing(self) -> AbstractContextManager[Connection]:
        return transaction(self._engine, self.name, writes=True)

    def _insert(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        return postgresql.insert(table) if self._engine.dialect.name == "postgresql" else sqlite.insert(table)


def _in_parts(query: Select[Any], table: Table, operators: Iterable[str]) -> Iterator[Select[Any]]:
    """The query for so many of the operators at once as a statement can name."""
    rest = iter(dict.fromkeys(operators))
    while part := list(islice(rest, ASKED_AT_ONCE)):
        yield query.where(table.c.operator.in_(part))


def _fastest_first(timings: Iterable[Timing]) -> dict[str, list[Timing]]:
    """The timings by operator."""
    found: dict[str, list[Timing]] = {}
    for timing in timings:
        found.setdefault(timing.key.operator, []).append(timing)
    return {operator: sorted(own, key=lambda timing: timing.median_ms) for operator, own in found.items()}


def _verdict_columns(key: VerdictKey) -> dict[str, Any]:
    """The fields of the key, those without a column together in ``conditions``."""
    fields = asdict(key)
    columns = {field: fields.pop(field) for field in schema.VERDICT_FIELDS}
    return {**columns, "conditions": fields}


def _verdict(row: Row[Any]) -> Verdict:
    scores = {name: float(score) for name, score in row.scores.items()}
    return Verdict(row.legal, row.check, row.reason, row.witness, scores)


def _json_number(score: float) -> float | str:
    """Infinities and NaN, for which JSON has no numbers, as text that `float` reads."""
    number = float(score)
    return number if isfinite(number) else str(number)


def _storable(message: str) -> str:
    """Text that every database takes; messages of compilers may hold anything."""
    return message.encode(errors="replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def _size(connection: Connection, table: Table) -> int:
    return connection.scalar(select(func.count()).select_from(table)) or 0
