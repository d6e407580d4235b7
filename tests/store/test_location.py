from __future__ import annotations

from pathlib import Path

import pytest

from loopwright.errors import StoreError
from loopwright.store import default_path
from loopwright.store.location import located, shown


def test_the_cache_folder_of_the_user_is_respected(tmp_path: Path):
    assert default_path({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "loopwright" / "store.sqlite"


def test_without_one_it_is_in_the_home_folder():
    assert default_path({}) == Path.home() / ".cache" / "loopwright" / "store.sqlite"


def test_a_relative_cache_folder_is_ignored():
    assert default_path({"XDG_CACHE_HOME": "cache"}) == Path.home() / ".cache" / "loopwright" / "store.sqlite"


def test_a_path_is_a_path():
    assert located("runs/store.sqlite") == Path("runs/store.sqlite")
    assert located("~/store.sqlite") == Path.home() / "store.sqlite"
    assert located(Path("a:b/c")) == Path("a:b/c")


@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
def test_an_address_is_shown_without_its_password(scheme: str):
    address = located(f"{scheme}://ann:s3cr3t@db.example:6543/team?sslmode=require&sslpassword=hidden")
    assert shown(address) == "postgresql://ann@db.example:6543/team"


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("mysql://ann:s3cr3t@db.example/team", "can't be kept at a mysql address; name a file, or postgresql://"),
        ("sqlite:///store.sqlite", "can't be kept at a sqlite address; name a file"),
        ("postgresql://ann:s3cr3t@db.example:s3cr3t/team", "address can't be read; write postgresql://USER@HOST"),
        (Path("postgresql://ann:s3cr3t@db.example/team"), "an address is no path"),
    ],
)
def test_other_addresses_are_refused_without_repeating_them(where: str | Path, message: str):
    with pytest.raises(StoreError, match=message) as raised:
        located(where)
    assert "s3cr3t" not in str(raised.value)
    assert raised.value.__cause__ is None
