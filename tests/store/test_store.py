from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from loopwright.errors import StoreError
from loopwright.legality.verdict import Verdict
from loopwright.store import Failure, Store, TimingKey, VerdictKey
from loopwright.store.migrations import newest

KEY = TimingKey("3f2a", "cpu", "tile(co: 32, ow: 7)", "9c1e", "cold, 5 x 3")
VERDICT_KEY = VerdictKey("net", "layer1.0.conv1: group(co, ci, 2)", "fisher", "abc")


@pytest.fixture
def store(tmp_path: Path):
    with Store.open(tmp_path / "deep" / "store.sqlite") as opened:
        yield opened


def test_a_timing_comes_back_with_every_sample(store: Store):
    assert store.timing(KEY) is None
    store.record_timing(KEY, [1.5, 0.5, 1.0])
    timing = store.timing(KEY)
    assert timing is not None
    assert timing.samples_ms == (1.5, 0.5, 1.0)
    assert timing.median_ms == 1.0


def test_samples_of_a_second_recording_are_added(store: Store):
    store.record_timing(KEY, [1.0])
    store.record_timing(KEY, [3.0])
    timing = store.timing(KEY)
    assert timing is not None
    assert timing.samples_ms == (1.0, 3.0)


@pytest.mark.parametrize("field", ["operator", "target", "schedule", "environment", "protocol"])
def test_whatever_could_change_a_timing_is_part_of_its_key(store: Store, field: str):
    store.record_timing(KEY, [1.0])
    assert store.timing(TimingKey(**{**vars(KEY), field: "other"})) is None


def test_the_timings_of_an_operator_come_fastest_first(store: Store):
    slower = TimingKey(KEY.operator, KEY.target, "tile(co: 16, ow: 4)", KEY.environment, KEY.protocol)
    store.record_timing(slower, [2.0])
    store.record_timing(KEY, [1.0])
    found = store.timings(KEY.operator, KEY.target, KEY.environment)
    assert [timing.key for timing in found] == [KEY, slower]


def test_a_timing_needs_samples(store: Store):
    with pytest.raises(StoreError, match="no samples"):
        store.record_timing(KEY, [])


def test_a_verdict_comes_back_whole_and_the_latest_stands(store: Store):
    assert store.verdict(VERDICT_KEY) is None
    store.record_verdict(VERDICT_KEY, Verdict(True, "fisher", "not below the original", None, {"score": 1.0}))
    verdict = Verdict(False, "fisher", "below the original", "layer1", {"score": 0.25, "original": 0.5})
    store.record_verdict(VERDICT_KEY, verdict)
    assert store.verdict(VERDICT_KEY) == verdict


def test_keys_do_not_run_into_each_other():
    assert VerdictKey("a", "bc", "x").digest != VerdictKey("ab", "c", "x").digest


def test_the_latest_failure_of_a_workload_is_known(store: Store):
    assert store.failure(KEY) is None
    store.record_failure(Failure(KEY, "build", "out of registers"))
    store.record_failure(Failure(KEY, "run", "timed out"))
    assert store.failure(KEY) == Failure(KEY, "run", "timed out")


def test_an_environment_is_recorded_once(store: Store):
    store.record_environment("9c1e", {"processor": "x86", "threads": 2})
    store.record_environment("9c1e", {"processor": "x86", "threads": 2})
    assert store.environment("9c1e") == {"processor": "x86", "threads": 2}
    assert store.environment("none") is None


def test_another_opening_finds_what_was_recorded(tmp_path: Path):
    path = tmp_path / "store.sqlite"
    with Store.open(path) as first:
        first.record_timing(KEY, [1.0])
    with Store.open(path) as second:
        assert second.timing(KEY) is not None


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_no_store_is_refused_and_left_alone(tmp_path: Path, content: bytes):
    path = tmp_path / "store.sqlite"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="damaged or not a Loopwright store.*--store"):
        Store.open(path)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_a_damaged_store_is_refused_and_left_alone(tmp_path: Path):
    path = tmp_path / "store.sqlite"
    with Store.open(path) as opened:
        for number in range(200):
            opened.record_timing(TimingKey(str(number), *list(vars(KEY).values())[1:]), [1.0] * 50)
    content = path.read_bytes()[: -8 * 4096]
    path.write_bytes(content)
    with pytest.raises(StoreError, match="damaged"):
        Store.open(path)
    assert path.read_bytes() == content


def test_another_programs_database_is_refused(tmp_path: Path):
    path = tmp_path / "other.sqlite"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE recipes (name TEXT)")
    with pytest.raises(StoreError, match="not a Loopwright store"):
        Store.open(path)


def test_a_newer_store_is_refused_and_left_alone(tmp_path: Path):
    path = tmp_path / "store.sqlite"
    Store.open(path).close()
    with sqlite3.connect(path) as newer:
        newer.execute(f"INSERT INTO loopwright_schema VALUES ({newest() + 1})")
    newer.close()
    with pytest.raises(StoreError, match=f"newer Loopwright .schema {newest() + 1}.*upgrade"):
        Store.open(path)


def test_a_folder_is_refused(tmp_path: Path):
    with pytest.raises(StoreError, match="is a folder"):
        Store.open(tmp_path)


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot create a store"):
        Store.open(tmp_path / "file" / "store.sqlite")


WRITER = """
import sys
from loopwright.store import Store, TimingKey
with Store.open(sys.argv[1]) as store:
    for number in range(50):
        store.record_timing(TimingKey(str(number), "cpu", "s", "e", "p"), [float(number)])
"""


def test_processes_may_open_and_write_one_store_at_once(tmp_path: Path):
    path = tmp_path / "store.sqlite"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path)]) for _ in range(4)]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    with Store.open(path) as store:
        timing = store.timing(TimingKey("7", "cpu", "s", "e", "p"))
    assert timing is not None
    assert timing.samples_ms == (7.0,) * 4
