"""Appending on SQLite: one write lock, taken first, held briefly and handed on in order."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from eventstore.errors import VersionConflict
from eventstore.model.log import ANY, Appended
from eventstore.sql import log as log_module
from eventstore.sql.engine import turn, writing
from eventstore.sql.log import SqlEventLog
from eventstore.sql.plan import Known
from eventstore.sql.sqlite import SqliteAppender
from tests.bank import append_of


def statements(log: SqlEventLog, call: Callable[[], Any]) -> list[str]:
    """What ``call`` sends on the log's one pooled connection."""
    seen: list[str] = []
    with log._raw() as raw:
        raw.set_trace_callback(seen.append)
    call()
    with log._raw() as raw:
        raw.set_trace_callback(None)
    return seen


def test_the_write_lock_is_taken_before_anything_is_read(sqlite_log: SqlEventLog) -> None:
    """Else: a read transaction that wants to write later fails at once when somebody else wrote meanwhile."""
    seen = statements(sqlite_log, lambda: sqlite_log.append([append_of("account-a", 0, "one")]))
    assert seen[0] == "BEGIN IMMEDIATE"
    assert seen[-1] == "COMMIT"


def test_a_group_is_one_transaction_without_savepoints(sqlite_log: SqlEventLog) -> None:
    """Else: a savepoint an append, 506 against 1,641 appends/s under conflicts."""
    group = [append_of(f"account-{n}", 0 if n % 2 else 9, f"c{n}") for n in range(10)]
    seen = statements(sqlite_log, lambda: sqlite_log.append(group))
    assert [s for s in seen if s.split()[0] in ("BEGIN", "COMMIT", "SAVEPOINT", "ROLLBACK")] == [
        "BEGIN IMMEDIATE",
        "COMMIT",
    ]


def test_a_writer_that_never_rests_does_not_starve_the_others(
    sqlite_log: SqlEventLog, background: Callable[..., Any]
) -> None:
    """Else: SQLite lets waiters poll; a thread that holds the file 20 ms at a time left others one append in 5 s."""
    stop = threading.Event()

    def hog() -> int:
        turns = 0
        while not stop.is_set():
            with writing(sqlite_log.engine) as connection:
                connection.execute(text("UPDATE hw_topic SET partitions = partitions"))
                threading.Event().wait(0.02)
            turns += 1
        return turns

    hogging = background(hog)
    try:
        for n in range(20):
            (outcome,) = sqlite_log.append([append_of("account-a", n, f"c{n}")])
            assert isinstance(outcome, Appended)
    finally:
        stop.set()
    assert hogging.result() <= 60, "each append waits for the turn before it, not for dozens"


def test_a_thread_that_has_the_turn_does_not_wait_for_itself(sqlite_log: SqlEventLog) -> None:
    """Else: reading and writing through two contexts of one thread hangs for five seconds before it says why."""
    began = time.monotonic()
    with writing(sqlite_log.engine), turn(sqlite_log.engine):
        assert time.monotonic() - began < 2


def test_a_group_that_meets_a_constraint_is_replayed_one_by_one(
    sqlite_log: SqlEventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else: one append that the reads could not judge fails all the others of its group."""
    sqlite_log.append([append_of("account-a", 0, "one")])
    read, blinded = SqliteAppender.read, []

    def blind_once(self: SqliteAppender, *arguments: Any) -> Any:
        heads, versions, known = read(self, *arguments)
        if not blinded:
            blinded.append(True)
            return heads, dict.fromkeys(versions, 0), dict[tuple[str, str], Known]()
        return heads, versions, known

    monkeypatch.setattr(SqliteAppender, "read", blind_once)
    conflict, other = sqlite_log.append([append_of("account-a", 0, "two"), append_of("account-b", 0, "three")])
    assert isinstance(conflict, VersionConflict)
    assert isinstance(other, Appended)


def test_a_lost_answer_is_resolved_by_ids(sqlite_log: SqlEventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else: an I/O error that the commit reports although it was made stores the append twice, or refuses it."""
    write, lost = SqliteAppender.write, []

    def lose_once(self: SqliteAppender, *arguments: Any) -> None:
        write(self, *arguments)
        if not lost:
            lost.append(True)
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error

    monkeypatch.setattr(SqliteAppender, "write", lose_once)
    monkeypatch.setattr(log_module, "RETRY_SECONDS", 0.0)
    (outcome,) = sqlite_log.append([append_of("account-a", 0, "one")])
    assert isinstance(outcome, Appended)
    assert not outcome.repeated
    assert len(list(sqlite_log.read_stream("account-a"))) == 1


def test_a_suspended_reader_holds_no_transaction(sqlite_log: SqlEventLog) -> None:
    """Else: the write-ahead log cannot be emptied and grows as long as the reader lives."""
    sqlite_log.append([append_of("account-a", ANY, f"c{n}", count=100) for n in range(15)])
    reading = sqlite_log.read_stream("account-a")
    next(reading)
    with sqlite_log._raw() as raw:
        busy, left, _ = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert (busy, left) == (0, 0)


def test_reading_needs_no_transaction_and_leaves_none(sqlite_log: SqlEventLog) -> None:
    source = sqlite_log.source(["account"])
    position = dict.fromkeys(source.partitions(), 0)
    seen = statements(sqlite_log, lambda: source.read(position, 10))
    assert not [s for s in seen if s.startswith("BEGIN")]
