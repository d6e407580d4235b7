"""A store on a server: who may use it, what is told when it can't be used, and that passwords stay out of sight."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

import pytest

from loopwright.errors import StoreError
from loopwright.legality.verdict import Verdict
from loopwright.store import Store, TimingKey, VerdictKey, postgresql
from tests.store.server import PASSWORD, Server

KEY = TimingKey("3f2a", "cpu", "tile(co: 32, ow: 7)", "9c1e", "cold, 5 x 3")
QUICK_S = 3.0


@contextmanager
def refused(pattern: str, secret: str = PASSWORD) -> Iterator[None]:
    """A StoreError of one line that matches, soon, without the password."""
    began = monotonic()
    with pytest.raises(StoreError, match=pattern) as raised:
        yield
    assert "\n" not in str(raised.value)
    assert secret not in str(raised.value)
    assert "--store" in str(raised.value)
    assert monotonic() - began < QUICK_S


def test_machines_share_a_store_with_a_password(server: Server):
    address = server.over_network(server.new_database())
    with Store.open(address) as here, Store.open(address) as there:
        here.record_timing(KEY, [1.0])
        there.record_timing(KEY, [2.0])
        timing = here.timing(KEY)
        assert PASSWORD not in here.name
        assert here.name.startswith(f"postgresql://owner@127.0.0.1:{server.port}/store")
    assert timing is not None
    assert timing.samples_ms == (1.0, 2.0)


def test_the_password_may_come_from_the_environment(server: Server, monkeypatch: pytest.MonkeyPatch):
    address = server.over_network(server.new_database()).replace(":s3cr3t%2Fp%3Aw%3F@", "@")
    assert "s3cr3t" not in address
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    Store.open(address).close()


def test_a_wrong_password_is_told_without_showing_it(server: Server):
    address = server.over_network(server.new_database(), password="wr0ng/one")
    with refused("refuses the user or the password .*PGPASSWORD or ~/.pgpass", "wr0ng"):
        Store.open(address)


def test_an_unknown_user_is_told(server: Server):
    address = server.new_database().replace("//owner@", "//stranger@")
    with refused("refuses the user or the password .*stranger"):
        Store.open(address)


def test_a_missing_database_is_told(server: Server):
    address = server.new_database().replace("/store", "/warehouse")
    with refused("does not exist .*warehouse.*; create the database"):
        Store.open(address)


def test_a_user_that_may_make_no_tables_is_told(server: Server):
    address = server.new_database()
    server.sql("CREATE ROLE reader LOGIN")
    with refused("may not be written .*permission denied.*; grant its user the rights"):
        Store.open(address.replace("//owner@", "//reader@"))


def test_another_user_needs_no_more_rights_than_the_page_says(server: Server):
    address = server.new_database()
    Store.open(address).close()
    server.sql("CREATE ROLE colleague LOGIN")
    server.sql("GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO colleague", address)
    server.sql("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO colleague", address)
    with Store.open(address.replace("//owner@", "//colleague@")) as store:
        store.record_timing(KEY, [1.0])
        for legal in (True, False):
            store.record_verdict(VerdictKey("net", "identity", "fisher"), Verdict(legal, "fisher", "not below"))
        assert store.counts().verdicts == store.counts().samples == 1


def test_a_read_only_server_is_told(server: Server):
    address = server.new_database()
    with refused("can't be written .*read-only transaction.*; take the primary server"):
        Store.open(f"{address}&options=-c%20default_transaction_read_only%3Don")


def test_a_restart_of_the_server_is_survived(server: Server):
    with Store.open(server.new_database()) as store:
        store.record_timing(KEY, [1.0])
        server.stop()
        try:
            with refused("can't be reached"):
                store.record_timing(KEY, [2.0])
        finally:
            server.restart()
        store.record_timing(KEY, [3.0])
        timing = store.timing(KEY)
    assert timing is not None
    assert timing.samples_ms == (1.0, 3.0)


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_an_address_where_nothing_listens_is_told_quickly(host: str, closed_port: int):
    pytest.importorskip("psycopg")
    with refused(f"postgresql://ann@{host}:{closed_port}/team can't be reached .*efused.*; start the server, mend"):
        Store.open(f"postgresql://ann:s3cr3t@{host}:{closed_port}/team")


def test_a_host_that_does_not_exist_is_told():
    pytest.importorskip("psycopg")
    with refused("can't be reached .*nowhere.invalid"):
        Store.open("postgresql://ann:s3cr3t@nowhere.invalid/team")


def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("psycopg")
    monkeypatch.setattr(postgresql, "CONNECT_TIMEOUT_S", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent, refused("can't be reached .*timeout"):
        Store.open(f"postgresql://ann:s3cr3t@127.0.0.1:{silent.getsockname()[1]}/team")


def test_an_option_that_does_not_exist_is_told_without_the_password(closed_port: int):
    pytest.importorskip("psycopg")
    with refused("can't be (used|reached) .*colour", "s3cr3t"):
        Store.open(f"postgresql://127.0.0.1:{closed_port}/team?user=ann&password=s3cr3t&colour=red")


def test_without_psycopg_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(postgresql, "find_spec", lambda name: None)
    with pytest.raises(StoreError, match=r"needs psycopg; pip install 'loopwright\[postgresql\]'"):
        Store.open("postgresql://db.example/team")
