"""Old stores become new ones without loss, and new ones are made by the same steps."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from math import inf
from pathlib import Path

import pytest
from sqlalchemy import JSON, Boolean, DateTime, MetaData, String

from loopwright.errors import StoreError
from loopwright.legality.verdict import Verdict
from loopwright.store import Failure, Store, StoreCounts, Timing, TimingKey, VerdictCount, VerdictKey, schema
from loopwright.store.location import located
from loopwright.store.migrations import Migration, migrations, newest
from loopwright.store.opening import open_engine

FIRST = Path(__file__).parent / "data" / "version-1.db"
"""Written by the first version of the store, before migrations had numbers."""

PROTOCOL = "Protocol(rounds=9)"
TIMED = TimingKey(
    "0affd1889482a9a483cc80f4 n=1", "cpu", "lanes=16 channels=3 rows=1 columns=7 prefetch=64", "2dc5feba0c08ff02",
    PROTOCOL,
)  # fmt: skip


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return Path(shutil.copy(FIRST, tmp_path / "store.sqlite"))


def dump(path: Path, table: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as file:
        return file.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()


def test_an_old_store_keeps_everything(old: Path):
    before = {table: dump(old, table) for table in ("environments", "timings", "failures", "verdicts")}
    with Store.open(old) as store:
        assert store.timing(TIMED) == Timing(TIMED, (0.0154648030305128, 0.016899871212241593, 0.015948416666653677))
        failed = TimingKey("ff", "cpu", "any", "2dc5feba0c08ff02", PROTOCOL)
        assert store.failure(failed) == Failure(failed, "build", "out of registers")
        assert store.environment("2dc5feba0c08ff02") == {"processor": "AMD EPYC", "threads": "2"}
        assert store.verdict(VerdictKey("net", "conv1: ab; conv2: cd", "fisher", "abc")) == Verdict(
            False, "fisher", "below the original's: 0.25 of 0.5", "layer1", {"score": 0.25, "original": 0.5}
        )
        unchanged = store.verdict(VerdictKey("net", "identity", "fisher", "abc"))
        assert unchanged == Verdict(True, "fisher", "not below the original's", None, {"score": inf})
        assert store.verdict_counts() == [
            VerdictCount("fisher", False, "below the original's", 1),
            VerdictCount("fisher", True, "not below the original's", 1),
        ]
        assert store.counts() == StoreCounts(verdicts=2, timings=2, samples=3, failures=1, environments=1)
    for table, rows in before.items():
        assert [row[: len(rows[0])] for row in dump(old, table)] == rows


OPEN = "import sys\nfrom loopwright.store import Store\nStore.open(sys.argv[1]).close()"


def test_processes_may_migrate_one_store_at_once(old: Path):
    openers = [subprocess.Popen([sys.executable, "-c", OPEN, str(old)]) for _ in range(6)]
    assert [opener.wait(60) for opener in openers] == [0] * 6
    assert dump(old, "loopwright_schema") == [(number,) for number in range(1, newest() + 1)]
    with Store.open(old) as store:
        assert store.counts().verdicts == 2


def test_a_migration_that_fails_changes_nothing(old: Path, monkeypatch: pytest.MonkeyPatch):
    def broken(_: object) -> None:
        raise StoreError("no")

    before = dump(old, "sqlite_master")
    broken_last = (*migrations(), Migration(newest() + 1, broken))
    monkeypatch.setattr("loopwright.store.migrations.migrations", lambda: broken_last)
    with pytest.raises(StoreError):
        Store.open(old)
    assert dump(old, "sqlite_master") == before


def test_migrations_are_numbered_without_gaps():
    assert [migration.number for migration in migrations()] == list(range(1, newest() + 1))


def columns(tables: MetaData) -> dict[str, object]:
    kinds = {JSON: "json", Boolean: "boolean", DateTime: "time", String: "text"}

    def kind(column: object) -> str:
        return next((name for base, name in kinds.items() if isinstance(column, base)), type(column).__name__.lower())

    return {
        table.name: (
            [(column.name, kind(column.type), column.nullable, column.primary_key) for column in table.columns],
            {(index.name, tuple(column.name for column in index.columns)) for index in table.indexes},
        )
        for table in tables.sorted_tables
    }


def test_migrations_make_the_tables_that_the_schema_describes(where: str):
    engine = open_engine(located(where))
    found = MetaData()
    found.reflect(engine)
    assert columns(found) == columns(schema.metadata)
    engine.dispose()


def test_a_newer_store_is_refused_and_left_alone(where: str):
    engine = open_engine(located(where))
    with engine.begin() as connection:
        connection.execute(schema.versions.insert().values(version=newest() + 1))
    with pytest.raises(StoreError, match=f"newer Loopwright .schema {newest() + 1}, .*; upgrade Loopwright or name"):
        Store.open(where)
    with engine.begin() as connection:
        assert connection.execute(schema.versions.select()).all()[-1] == (newest() + 1,)
    engine.dispose()


def test_another_programs_database_is_refused_and_left_alone(where: str):
    located_at = located(where)
    if isinstance(located_at, Path):
        located_at.parent.mkdir(parents=True)
        with closing(sqlite3.connect(located_at)) as file:
            file.execute("CREATE TABLE recipes (name TEXT)")
    else:
        engine = open_engine(located_at)
        with engine.begin() as connection:
            for table in schema.metadata.sorted_tables:
                connection.exec_driver_sql(f"DROP TABLE {table.name}")
            connection.exec_driver_sql("CREATE TABLE recipes (name TEXT)")
        engine.dispose()
    with pytest.raises(StoreError, match="is a database but not a Loopwright store; name another one with --store"):
        Store.open(where)
