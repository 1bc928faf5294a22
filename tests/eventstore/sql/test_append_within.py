"""Appending inside the caller's own transaction, on both databases."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import insert, select

from eventstore.errors import CommandIdReused, HeadwaterError, VersionConflict
from eventstore.model.log import ANY, Appended
from eventstore.sql import schema
from eventstore.sql.engine import is_sqlite, writing
from eventstore.sql.log import SqlEventLog
from tests.bank import append_of
from tests.waiting import eventually

A_ROW = insert(schema.topic).values(topic="beside", partitions=1)


def beside(log: SqlEventLog) -> bool:
    with log.engine.connect() as connection:
        return connection.scalar(select(schema.topic.c.topic).where(schema.topic.c.topic == "beside")) is not None


def test_events_and_rows_are_committed_together(log: SqlEventLog) -> None:
    with writing(log.engine) as connection:
        connection.execute(A_ROW)
        (outcome,) = log.append([append_of("account-a", 0, "one")], connection=connection)
        assert isinstance(outcome, Appended)
    assert beside(log)
    assert len(list(log.read_stream("account-a"))) == 1


def test_events_and_rows_are_rolled_back_together(log: SqlEventLog) -> None:
    """Else: offsets that a rolled back transaction took are a gap that no reader gets over."""

    def fail_at_the_end() -> None:
        with writing(log.engine) as connection:
            connection.execute(A_ROW)
            log.append([append_of("account-a", 0, "one")], connection=connection)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_at_the_end()
    assert not beside(log)
    assert set(log.source(["account"]).ends().values()) == {0}


def test_a_conflict_leaves_the_callers_transaction_usable(log: SqlEventLog) -> None:
    """Else: a violated constraint aborts the whole transaction, with everything else the caller did in it."""
    log.append([append_of("account-a", 0, "one", digest="d")])
    with writing(log.engine) as connection:
        outcomes = log.append(
            [append_of("account-a", 0, "two"), append_of("account-a", 0, "one", digest="other")], connection=connection
        )
        connection.execute(A_ROW)
    assert [type(outcome) for outcome in outcomes] == [VersionConflict, CommandIdReused]
    assert beside(log)


def test_outside_a_transaction_it_is_refused(log: SqlEventLog) -> None:
    with log.engine.connect() as connection, pytest.raises(HeadwaterError, match="outside a transaction"):
        log.append([append_of("account-a", 0, "one")], connection=connection)


def test_readers_are_woken_by_the_commit_and_not_before(log: SqlEventLog, background: Callable[..., Any]) -> None:
    """Else: a reader that was woken too early finds nothing and sleeps on."""
    source = log.source(["account"])
    position = dict.fromkeys(source.partitions(), 0)
    looked = threading.Event()

    def wait_for_it() -> int:
        while not (records := source.read(position, 10)):
            looked.set()
            source.wait(position, 10)
        return len(records)

    reading = background(wait_for_it)
    assert looked.wait(5)
    if not is_sqlite(log.engine):
        eventually(lambda: log.wakeup.count > 0)  # it listens
        looked.clear()
        log.wakeup._bump()
        assert looked.wait(5)  # and is about to wait again
    with writing(log.engine) as connection:
        before = log.wakeup.count
        log.append([append_of("account-a", ANY, "one")], connection=connection)
        assert log.wakeup.count == before
    eventually(lambda: not reading.is_alive(), timeout=5)
    assert reading.result() == 1
