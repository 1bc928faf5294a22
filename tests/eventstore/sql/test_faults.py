"""Databases that are wrong, full, locked, or gone for a while: a clear error, and nothing lost."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import event, text

from benchmarks.servers import Cluster
from eventstore.errors import SettingError, Unavailable
from eventstore.model.log import ANY, Appended
from eventstore.sql import log as log_module
from eventstore.sql.engine import connect
from eventstore.sql.log import SqlEventLog
from tests.bank import append_of

NewLog = Callable[..., SqlEventLog]


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "RETRY_SECONDS", 0.0)


def on_connect(log: SqlEventLog, statement: str) -> None:
    """Run ``statement`` on every connection that the log opens from now on."""

    def run(connection: sqlite3.Connection, _: object) -> None:
        connection.execute(statement)

    event.listen(log.engine, "connect", run)
    log.engine.dispose()


# ---------------------------------------------------------------- what a URL may be


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "mysql://root:secret@host/db",
        "nosuch://host",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:x?mode=memory&uri=true",
        "sqlite:///shop.db?timeout=soon",
        "",
        "postgresql://ada:secret@host:port/shop",
        "postgresql://ada:word@secret@host/shop",
        "postgresql://ada:word@very:secret@host/shop",
        "postgresql://ada:word@host/secret@shop",
        "postgresql://ada@host/shop?passwrd=secret",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_with_one_that_can(url: str) -> None:
    with pytest.raises(SettingError) as caught:
        connect(url)
    assert "sqlite:///shop.db" in caught.value.fix
    assert "secret" not in str(caught.value)


def test_a_server_that_is_not_there_is_named_without_the_password(new_log: NewLog) -> None:
    log = new_log("postgresql://ada:secret@127.0.0.1:1/shop", make=False)
    with pytest.raises(Unavailable, match=r"ada:\*\*\*@127\.0\.0\.1:1/shop cannot be used now") as caught:
        log.append([append_of("account-a", 0, "one")])
    assert "secret" not in str(caught.value)
    assert "check that the server runs" in caught.value.fix


def test_a_password_among_the_parameters_is_not_shown_either(new_log: NewLog) -> None:
    log = new_log("postgresql://127.0.0.1:1/shop?user=ada&password=secret", make=False)
    with pytest.raises(Unavailable, match="user=ada") as caught:
        log.append([append_of("account-a", 0, "one")])
    assert "secret" not in str(caught.value)


def test_a_folder_that_is_not_there_is_named(new_log: NewLog, tmp_path: Path) -> None:
    log = new_log(f"sqlite:///{tmp_path}/missing/shop.db", make=False)
    with pytest.raises(Unavailable, match="unable to open") as caught:
        log.append([append_of("account-a", 0, "one")])
    assert "shop.db and its folder" in caught.value.fix


def test_a_file_that_is_no_database_is_an_error(new_log: NewLog, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("these are my notes, not a database at all" * 100)
    log = new_log(f"sqlite:///{tmp_path}/notes.txt", make=False)
    with pytest.raises(Exception, match="file is not a database"):
        log.append([append_of("account-a", 0, "one")])


# ---------------------------------------------------------------- files that cannot be written


def test_a_read_only_file_can_be_read_and_says_why_it_is_not_written(
    sqlite_log: SqlEventLog, new_log: NewLog, sqlite_url: str
) -> None:
    sqlite_log.append([append_of("account-a", 0, "one")])
    read_only = new_log(sqlite_url, make=False)
    on_connect(read_only, "PRAGMA query_only = ON")
    with pytest.raises(Unavailable, match="readonly") as caught:
        read_only.append([append_of("account-a", 1, "two")])
    assert "writable for this user" in caught.value.fix
    assert len(list(read_only.read_stream("account-a"))) == 1


def test_a_full_disk_stops_appends_until_there_is_room(
    sqlite_log: SqlEventLog, new_log: NewLog, sqlite_url: str
) -> None:
    with sqlite_log.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    full = new_log(sqlite_url, make=False)
    on_connect(full, f"PRAGMA max_page_count = {pages + 2}")
    stored = 0
    with pytest.raises(Unavailable, match="full") as caught:  # noqa: PT012
        for n in range(1000):
            full.append([append_of("account-a", ANY, f"c{n}", count=20)])
            stored += 20
    assert "make room on the disk" in caught.value.fix
    (outcome,) = sqlite_log.append([append_of("account-a", stored, "after")])
    assert isinstance(outcome, Appended)
    assert outcome.offset == stored


def test_a_file_that_another_program_holds_is_waited_for_and_then_named(
    sqlite_log: SqlEventLog, sqlite_url: str
) -> None:
    on_connect(sqlite_log, "PRAGMA busy_timeout = 20")
    holder = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(Unavailable, match="locked") as caught:
            sqlite_log.append([append_of("account-a", 0, "one")])
        assert "another program holds test.db" in caught.value.fix
        assert list(sqlite_log.read_stream("account-a")) == []
    finally:
        holder.close()
    (outcome,) = sqlite_log.append([append_of("account-a", 0, "one")])
    assert isinstance(outcome, Appended)


# ---------------------------------------------------------------- a server that goes and comes back


def test_connections_that_the_server_cut_are_replaced_unnoticed(pg_log: SqlEventLog, postgres_cluster: Cluster) -> None:
    """Else: the first appends after a restart of the server fail, one for each connection of the pool."""
    connections = [pg_log.engine.connect() for _ in range(8)]
    for connection in connections:
        connection.execute(text("SELECT 1"))
    for connection in connections:
        connection.close()
    database = pg_log.engine.url.database
    postgres_cluster.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")
    (outcome,) = pg_log.append([append_of("account-a", 0, "one")])
    assert isinstance(outcome, Appended)
    assert not outcome.repeated


def test_a_server_that_goes_and_comes_back_loses_nothing(new_cluster: Callable[..., Cluster], new_log: NewLog) -> None:
    cluster = new_cluster()
    log = new_log(cluster.url(cluster.new_database()))
    log.append([append_of("account-a", 0, "one")])
    cluster.stop()
    with pytest.raises(Unavailable, match="cannot be used now"):
        log.append([append_of("account-a", 1, "two")])
    with pytest.raises(Unavailable, match="cannot be used now"):
        list(log.read_stream("account-a"))
    with pytest.raises(Unavailable, match="cannot be used now"):
        log.source(["account"]).ends()
    cluster.start()
    (outcome,) = log.append([append_of("account-a", 1, "two")])
    assert isinstance(outcome, Appended)
    assert [record.headers["ce_sequence"] for record in log.read_stream("account-a")] == ["1", "2"]


def test_closing_is_prompt_while_the_server_is_away(new_cluster: Callable[..., Cluster], new_log: NewLog) -> None:
    cluster = new_cluster()
    log = new_log(cluster.url(cluster.new_database()))
    log.append([append_of("account-a", 0, "one")])
    log.wakeup.wait(log.wakeup.count, 0.01)
    cluster.stop()
    began = time.monotonic()
    log.wakeup.close()
    assert time.monotonic() - began < 3
