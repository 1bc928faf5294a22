"""Appending on PostgreSQL: each step of the protocol, by the schedule that goes wrong without it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from psycopg.errors import UniqueViolation
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from benchmarks.servers import Cluster
from eventstore.errors import HeadwaterError, VersionConflict
from eventstore.model.log import ANY, Append, Appended
from eventstore.sql.faults import is_unique_violation
from eventstore.sql.log import SqlEventLog
from eventstore.sql.plan import Known
from eventstore.sql.postgres import PostgresAppender
from tests.bank import append_of
from tests.proxies import AnswerLosingProxy
from tests.waiting import eventually

ONE_APPEND_WAITS = (
    "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
)
LOCK = "SELECT next FROM headwater.hw_head WHERE topic = 'bank.account' AND partition = {} FOR UPDATE {}"


def stream_in(log: SqlEventLog, partition: int, nth: int = 0) -> str:
    """A stream that lives in ``partition``."""
    found = (f"account-{n}" for n in range(1000) if log._place(f"account-{n}")[1] == partition)
    return [next(found) for _ in range(nth + 1)][-1]


@pytest.fixture
def other(pg_log: SqlEventLog) -> Iterator[Connection]:
    """Another client of the database, in a transaction of its own."""
    with pg_log.engine.connect() as connection:
        connection.begin()
        yield connection


def waits(log: SqlEventLog) -> bool:
    with log.engine.connect() as connection:
        return bool(connection.scalar(text(ONE_APPEND_WAITS)))


def offsets(log: SqlEventLog) -> dict[int, list[int]]:
    source = log.source(["account"])
    found: dict[int, list[int]] = {}
    for record in source.read(dict.fromkeys(source.partitions(), 0), 1000):
        found.setdefault(record.partition, []).append(record.offset)
    return found


def test_heads_are_locked_in_order(pg_log: SqlEventLog, other: Connection, background: Callable[..., Any]) -> None:
    """Else: two groups that lock the same heads in different orders deadlock (7 to 9 in five seconds)."""
    other.execute(text(LOCK.format(0, "")))
    group = [append_of(stream_in(pg_log, partition), ANY, str(partition)) for partition in (3, 1, 0, 2)]
    appending = background(lambda: pg_log.append(group))
    eventually(lambda: waits(pg_log))
    with pg_log.engine.connect() as third:
        for partition in (1, 2, 3):
            third.execute(text(LOCK.format(partition, "NOWAIT")))
    other.rollback()
    assert all(isinstance(outcome, Appended) for outcome in appending.result())


def test_groups_over_the_same_partitions_never_deadlock(
    pg_log: SqlEventLog, postgres_cluster: Cluster, background: Callable[..., Any]
) -> None:
    """Else: as above, by chance instead of by design."""
    streams = [stream_in(pg_log, partition) for partition in range(4)]

    def many(name: str, order: list[str]) -> None:
        for n in range(40):
            outcomes = pg_log.append([append_of(stream, ANY, f"{name}/{n}/{stream}") for stream in order])
            assert all(isinstance(outcome, Appended) for outcome in outcomes)

    writers = [background(lambda n=n: many(str(n), streams[n:] + streams[:n])) for n in range(4)]
    for writer in writers:
        writer.result(60)
    database = pg_log.engine.url.database
    found = postgres_cluster.execute(f"SELECT deadlocks FROM pg_stat_database WHERE datname = '{database}'")
    assert found == [(0,)]


@pytest.mark.parametrize("count", [1, 2], ids=["alone", "in a group"])
def test_what_was_committed_while_an_append_waited_is_seen(
    pg_log: SqlEventLog, other: Connection, background: Callable[..., Any], count: int
) -> None:
    """Else: versions read before the lock is granted are old, and the stream forks or the group breaks."""
    stream = stream_in(pg_log, 0)
    pg_log.append([append_of(stream, 0, "theirs")], connection=other)
    mine = [append_of(stream, 0, "mine"), append_of(stream_in(pg_log, 0, 1), 0, "beside")][:count]
    appending = background(lambda: pg_log.append(mine))
    eventually(lambda: waits(pg_log))
    other.commit()
    conflict, *beside = appending.result()
    assert isinstance(conflict, VersionConflict)
    assert conflict.actual == 1
    assert all(isinstance(outcome, Appended) for outcome in beside)
    assert offsets(pg_log) == {0: list(range(count))}


def test_a_repetition_that_waited_for_the_first_gets_its_outcome(
    pg_log: SqlEventLog, other: Connection, background: Callable[..., Any]
) -> None:
    stream = stream_in(pg_log, 0)
    pg_log.append([append_of(stream, 0, "one")], connection=other)
    appending = background(lambda: pg_log.append([append_of(stream, 0, "one")]))
    eventually(lambda: waits(pg_log))
    other.commit()
    (outcome,) = appending.result()
    assert isinstance(outcome, Appended)
    assert outcome.repeated


def test_a_lone_append_takes_one_statement(pg_log: SqlEventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else: a lone caller pays two round trips."""

    def long_way(*_: object) -> None:
        raise AssertionError("the long way was taken")

    monkeypatch.setattr(PostgresAppender, "read", long_way)
    for n in range(3):
        (outcome,) = pg_log.append([append_of("account-a", 2 * n, f"c{n}", count=2)])
        assert isinstance(outcome, Appended)
        assert (outcome.first, outcome.last, outcome.offset) == (2 * n + 1, 2 * n + 2, 2 * n)


def test_a_lone_append_beyond_the_stream_is_refused(pg_log: SqlEventLog) -> None:
    """Else: the one statement, which looks at no version but the expected one, leaves a gap of versions."""
    pg_log.append([append_of("account-a", 0, "one")])
    (outcome,) = pg_log.append([append_of("account-a", 2, "three")])
    assert isinstance(outcome, VersionConflict)
    assert outcome.actual == 1


def test_winners_of_a_group_are_one_transaction_without_savepoints(pg_log: SqlEventLog) -> None:
    """Else: a savepoint an append, 506 against 1,641 appends/s under conflicts. Each would show as another xmin."""
    group = [append_of(f"account-{n}", 0 if n % 2 else 9, f"c{n}") for n in range(10)]
    pg_log.append(group)
    with pg_log.engine.connect() as connection:
        found = connection.execute(text("SELECT count(*), count(DISTINCT xmin::text) FROM headwater.hw_event")).one()
        (inserted,) = connection.execute(text("SELECT min(xmin::text) FROM headwater.hw_event")).one()
        (moved,) = connection.execute(text("SELECT max(xmin::text) FROM headwater.hw_head WHERE next > 0")).one()
    assert found == (5, 1)
    assert inserted == moved


def test_a_group_that_meets_a_constraint_is_replayed_one_by_one(
    pg_log: SqlEventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else: one append that the reads could not judge fails all the others of its group."""
    pg_log.append([append_of("account-a", 0, "one")])
    read, blinded = PostgresAppender.read, []

    def blind_once(self: PostgresAppender, *arguments: Any) -> Any:
        heads, versions, known = read(self, *arguments)
        if not blinded:
            blinded.append(True)
            return heads, dict.fromkeys(versions, 0), dict[tuple[str, str], Known]()
        return heads, versions, known

    monkeypatch.setattr(PostgresAppender, "read", blind_once)
    conflict, other = pg_log.append([append_of("account-a", 0, "two"), append_of("account-b", 0, "three")])
    assert isinstance(conflict, VersionConflict)
    assert isinstance(other, Appended)


def test_a_group_that_is_replayed_keeps_what_was_chained_together(
    pg_log: SqlEventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else: a command is stored that was decided on the outcome of one that was refused."""
    write, beaten = PostgresAppender.write, []

    def somebody_is_faster(self: PostgresAppender, connection: Any, *arguments: Any) -> None:
        if beaten:
            return write(self, connection, *arguments)
        connection.rollback()
        beaten.append(pg_log.append([append_of("account-a", 0, "theirs")]))
        raise UniqueViolation

    monkeypatch.setattr(PostgresAppender, "write", somebody_is_faster)
    chained = replace(append_of("account-a", 1, "ours, then"), chained=True)
    other = append_of("account-b", 0, "another")
    outcomes = pg_log.append([append_of("account-a", 0, "ours"), chained, other])
    assert [type(outcome) for outcome in outcomes] == [VersionConflict, VersionConflict, Appended]


# ---------------------------------------------------------------- lost answers


@pytest.fixture
def losing(postgres_cluster: Cluster, pg_log: SqlEventLog, new_log: Callable[..., SqlEventLog]) -> Iterator[Any]:
    """Opens the log behind a proxy that loses the answer to the first request holding a marker."""
    proxies: list[AnswerLosingProxy] = []

    def behind(marker: bytes) -> tuple[SqlEventLog, AnswerLosingProxy]:
        proxy = AnswerLosingProxy(postgres_cluster.port, marker)
        proxies.append(proxy)
        url = postgres_cluster.url(str(pg_log.engine.url.database), proxy.port)
        return new_log(url, make=False), proxy

    yield behind
    for proxy in proxies:
        proxy.close()


def check_stored_once(log: SqlEventLog, appends: list[Append]) -> None:
    for append in appends:
        assert len(list(log.read_stream(append.stream))) == len(append.events)


@pytest.mark.parametrize(("count", "marker"), [(1, b"WITH head"), (3, b"COMMIT")], ids=["alone", "in a group"])
def test_an_append_whose_answer_was_lost_is_resolved_by_its_ids(
    pg_log: SqlEventLog, losing: Callable[[bytes], tuple[SqlEventLog, AnswerLosingProxy]], count: int, marker: bytes
) -> None:
    """Else: it is stored twice, or refused as a conflict with itself; and it is no repetition of the caller's."""
    log, proxy = losing(marker)
    appends = [append_of(f"account-{n}", 0, f"c{n}", count=2) for n in range(count)]
    outcomes = log.append(appends)
    assert proxy.lost.is_set()
    assert [(o.first, o.last, o.repeated) for o in outcomes if isinstance(o, Appended)] == [(1, 2, False)] * count
    check_stored_once(pg_log, appends)


def test_a_true_repetition_stays_one_when_an_answer_is_lost(
    pg_log: SqlEventLog, losing: Callable[[bytes], tuple[SqlEventLog, AnswerLosingProxy]]
) -> None:
    pg_log.append([append_of("account-old", 0, "old")])
    log, proxy = losing(b"COMMIT")
    old, new = log.append([append_of("account-old", 0, "old"), append_of("account-new", 0, "new")])
    assert proxy.lost.is_set()
    assert isinstance(old, Appended)
    assert isinstance(new, Appended)
    assert (old.repeated, new.repeated) == (True, False)


# ---------------------------------------------------------------- frozen clients

FROZEN = """
    import os, signal, sys
    from eventstore.sql.engine import connect, writing
    from sqlalchemy import text
    engine = connect(sys.argv[1])
    with writing(engine) as connection:
        connection.execute(text("SELECT next FROM headwater.hw_head WHERE partition = 0 FOR UPDATE"))
        print("locked", flush=True)
        os.kill(os.getpid(), signal.SIGSTOP)
"""


def test_a_client_that_froze_in_its_transaction_does_not_block_the_partition(
    pg_log: SqlEventLog, postgres_url: str
) -> None:
    """Else: without idle_in_transaction_session_timeout the partition is blocked for ever."""
    url = f"{postgres_url}?options=-c%20idle_in_transaction_session_timeout%3D300ms"
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(__file__))))  # noqa: PTH120
    frozen = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(FROZEN), url], stdout=subprocess.PIPE, text=True, cwd=root
    )
    try:
        assert frozen.stdout is not None
        assert frozen.stdout.readline() == "locked\n"
        (outcome,) = pg_log.append([append_of(stream_in(pg_log, 0), 0, "mine")])
        assert isinstance(outcome, Appended)
    finally:
        frozen.send_signal(signal.SIGKILL)
        frozen.communicate()


def test_every_connection_has_its_timeouts(pg_log: SqlEventLog) -> None:
    """Else: as above; and an append waits for ever for a head that somebody holds."""
    names = ("idle_in_transaction_session_timeout", "lock_timeout", "default_transaction_isolation")
    with pg_log.engine.connect() as connection:
        shown = [connection.scalar(text(f"SHOW {name}")) for name in names]
    assert shown == ["30s", "10s", "read committed"]


def test_a_lock_that_is_not_given_up_in_time_is_an_error_that_says_so(
    pg_log: SqlEventLog, new_log: Callable[..., SqlEventLog], postgres_url: str, other: Connection
) -> None:
    other.execute(text(LOCK.format(0, "")))
    hasty = new_log(f"{postgres_url}?options=-c%20lock_timeout%3D50ms", make=False)
    with pytest.raises(HeadwaterError, match="lock timeout"):
        hasty.append([append_of(stream_in(pg_log, 0), 0, "mine")])


# ---------------------------------------------------------------- in the caller's own transaction


def test_another_isolation_level_is_refused(pg_log: SqlEventLog) -> None:
    """Else: under REPEATABLE READ what others committed while it waited for the lock stays unseen."""
    with pg_log.engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        connection.begin()
        with pytest.raises(HeadwaterError, match="REPEATABLE READ"):
            pg_log.append([append_of("account-a", 0, "one")], connection=connection)


def test_a_database_that_defaults_to_another_isolation_level_changes_nothing(
    pg_log: SqlEventLog, postgres_cluster: Cluster, postgres_url: str, new_log: Callable[..., SqlEventLog]
) -> None:
    database = pg_log.engine.url.database
    postgres_cluster.execute(f"ALTER DATABASE {database} SET default_transaction_isolation = 'serializable'")
    fresh = new_log(postgres_url, make=False)
    with fresh.engine.connect() as connection:
        assert connection.scalar(text("SHOW transaction_isolation")) == "read committed"


def test_a_suspended_reader_holds_no_transaction(pg_log: SqlEventLog) -> None:
    """Else: its snapshot keeps dead versions of the heads: 3,917 → 1,580 appends/s in 40 seconds."""
    pg_log.append([append_of("account-a", ANY, f"c{n}", count=100) for n in range(15)])
    reading = pg_log.read_stream("account-a")
    next(reading)
    source = pg_log.source(["account"])
    source.read(dict.fromkeys(source.partitions(), 0), 10)
    with pg_log.engine.connect() as connection:
        query = "SELECT count(*) FROM pg_stat_activity WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid()"
        assert connection.scalar(text(f"{query} AND datname = current_database()")) == 0


def test_a_unique_violation_is_told_from_other_errors(pg_log: SqlEventLog) -> None:
    with pg_log.engine.connect() as connection, pytest.raises(OperationalError) as caught:
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    assert not is_unique_violation(caught.value)
