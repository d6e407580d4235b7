from __future__ import annotations

from pathlib import Path

from loopwright.store import default_path


def test_the_cache_folder_of_the_user_is_respected(tmp_path: Path):
    assert default_path({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "loopwright" / "store.sqlite"


def test_without_one_it_is_in_the_home_folder():
    assert default_path({}) == Path.home() / ".cache" / "loopwright" / "store.sqlite"


def test_a_relative_cache_folder_is_ignored():
    assert default_path({"XDG_CACHE_HOME": "cache"}) == Path.home() / ".cache" / "loopwright" / "store.sqlite"
