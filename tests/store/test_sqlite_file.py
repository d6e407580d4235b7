"""Files that can't be used: refused in one line that says what to do, and left as they are."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from loopwright.errors import StoreError
from loopwright.store import Store, TimingKey, sqlite_file

NOBODY = 65534


def key(number: int) -> TimingKey:
    return TimingKey(str(number), "cpu", "tile(co: 32, ow: 7)", "9c1e", "cold, 5 x 3")


def fill(store: Store, count: int, samples: int = 50) -> None:
    for number in range(count):
        store.record_timing(key(number), [1.0] * samples)


@contextmanager
def refused(pattern: str) -> Iterator[None]:
    """A StoreError of one line that matches and says that --store names another."""
    with pytest.raises(StoreError, match=pattern) as raised:
        yield
    assert "\n" not in str(raised.value)
    assert "--store" in str(raised.value)


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_no_store_is_refused_and_left_alone(tmp_path: Path, content: bytes):
    path = tmp_path / "store.sqlite"
    path.write_bytes(content)
    with refused("is damaged or not a Loopwright store .*; move it away"):
        Store.open(path)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def cut(content: bytes) -> bytes:
    return content[: -8 * 4096]


def overwritten(content: bytes) -> bytes:
    return content[: 6 * 4096] + b"\xa5" * 8 * 4096 + content[14 * 4096 :]


@pytest.mark.parametrize("damaged", [cut, overwritten])
def test_a_damaged_store_is_refused_and_left_alone(tmp_path: Path, damaged):
    path = tmp_path / "store.sqlite"
    with Store.open(path) as opened:
        fill(opened, 200)
    content = damaged(path.read_bytes())
    path.write_bytes(content)
    with refused("is damaged .*; move it away"):
        Store.open(path)
    assert path.read_bytes() == content


def test_a_large_store_that_is_cut_short_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sqlite_file, "CHECKED_BYTES", 0)
    path = tmp_path / "store.sqlite"
    with Store.open(path) as opened:
        fill(opened, 200)
    path.write_bytes(cut(path.read_bytes()))
    with refused("is damaged .*; move it away"):
        Store.open(path)


def test_damage_in_a_large_store_is_found_when_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sqlite_file, "CHECKED_BYTES", 0)
    path = tmp_path / "store.sqlite"
    with Store.open(path) as opened:
        fill(opened, 2000)
    content = path.read_bytes()
    middle = len(content) // 2 // 4096 * 4096
    path.write_bytes(content[:middle] + b"\xa5" * 16 * 4096 + content[middle + 16 * 4096 :])
    with Store.open(path) as opened, refused("is damaged .*; move it away"):
        opened.timings_by_operator("cpu", "9c1e", (key(number).operator for number in range(2000)))


def test_a_folder_is_refused(tmp_path: Path):
    with refused("is a folder, not a store; name a file in it"):
        Store.open(tmp_path)


def test_a_place_below_a_file_is_refused(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with refused("cannot open or create a store at .*File exists.; mend its folder"):
        Store.open(tmp_path / "file" / "store.sqlite")


@pytest.mark.parametrize("name", ["what?mode=ro#1.sqlite", "ümlaut 50%.sqlite", "a=b&c.sqlite"])
def test_a_path_is_taken_as_it_is(tmp_path: Path, name: str):
    for _ in range(2):
        with Store.open(str(tmp_path / name)) as store:
            fill(store, 1)
    assert (tmp_path / name).stat().st_size > 0


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder that every user can reach, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="lw-store-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Permissions count for root as well while this lasts."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(was)


def test_a_read_only_folder_is_refused_at_once(shared_folder: Path):
    shared_folder.chmod(0o555)
    with unprivileged(), refused("can't be written .*; mend its permissions, or"):
        Store.open(shared_folder / "store.sqlite")
    with unprivileged(), refused("cannot open or create a store at .*Permission denied.; mend its folder"):
        Store.open(shared_folder / "deep" / "store.sqlite")
    assert list(shared_folder.iterdir()) == []


def test_a_store_in_a_read_only_folder_is_refused_at_once_and_kept(shared_folder: Path):
    path = shared_folder / "store.sqlite"
    with Store.open(path) as store:
        fill(store, 3)
    content = path.read_bytes()
    path.chmod(0o444)
    shared_folder.chmod(0o555)
    with unprivileged(), refused("can't be written .*; mend its permissions, or"):
        Store.open(path)
    assert path.read_bytes() == content


def test_a_store_that_may_not_be_read_is_refused(shared_folder: Path):
    path = shared_folder / "store.sqlite"
    Store.open(path).close()
    path.chmod(0o000)
    with unprivileged(), refused("can't be written .*unable to open"):
        Store.open(path)


def test_a_store_that_may_grow_no_more_is_refused_and_loses_nothing(tmp_path: Path):
    path = tmp_path / "store.sqlite"
    with Store.open(path) as store:
        fill(store, 20)
        with store._reading() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 1")
        with refused("the disk of .* is full .*; free some space, or"):
            fill(store, 1000)
        with store._reading() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 100000")
        kept = store.counts().timings
        fill(store, 20)
        assert store.counts().timings == kept + 20 >= 40
    Store.open(path).close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 512 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "none", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_told_and_nothing_is_lost(small_disk: Path):
    path = small_disk / "store.sqlite"
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"\0" * 200 * 1024)
    recorded = 0
    with Store.open(path) as store:
        with refused("the disk of .* is full .*; free some space, or"):
            for recorded in range(5000):
                store.record_timing(key(recorded), [1.0] * 50)
        ballast.unlink()
        assert store.counts().timings == recorded
        fill(store, 3)
    with Store.open(path) as store:
        assert store.counts().timings == recorded + 3


def test_there_is_no_room_for_a_new_store(small_disk: Path):
    (small_disk / "ballast").write_bytes(b"\0" * 512 * 1024)
    with refused("is full|can't be (written|used)"):
        Store.open(small_disk / "store.sqlite")


def test_a_store_that_another_program_locks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sqlite_file, "BUSY_TIMEOUT_S", 0.2)
    path = tmp_path / "store.sqlite"
    Store.open(path).close()
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with refused("another program keeps .* locked .*; end that, or"):
            Store.open(path)
