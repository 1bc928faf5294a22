"""The event log in SQL. Appending follows docs/explanation/protocols.md, section 1."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, func, insert, select

from eventstore.errors import CommandIdReused, DeclarationError, HeadwaterError, NotFound, VersionConflict
from eventstore.model.log import Append, Appended, Outcome, StreamInfo
from eventstore.model.record import Record, TopicPartition
from eventstore.model.stream import partition_of, split_stream, topic_name
from eventstore.sql import schema
from eventstore.sql.engine import is_sqlite, reading, turn, writing
from eventstore.sql.faults import available, is_transient, is_unique_violation, unavailable
from eventstore.sql.plan import Known, Plan, first_outcome, plan, wanted_ids, wanted_streams
from eventstore.sql.postgres import PostgresAppender
from eventstore.sql.rows import select_records, to_record
from eventstore.sql.source import SqlSource
from eventstore.sql.sqlite import SqliteAppender, time_text
from eventstore.sql.wakeup import Wakeup

COMMIT_ATTEMPTS = 3
RETRY_SECONDS = 0.2
PAGE = 1000


class SqlEventLog:
    """Implements :class:`~eventstore.model.log.EventLog` on SQLite and PostgreSQL.

    ``app`` is the first part of every topic's name. ``wakeup`` is told of every commit.
    """

    def __init__(self, engine: Engine, app: str, wakeup: Wakeup | None = None) -> None:
        self.engine, self.app = engine, app
        self.wakeup = wakeup or Wakeup(engine)
        self._appender = SqliteAppender() if is_sqlite(engine) else PostgresAppender()
        self._partitions: dict[str, int] = {}

    # ---------------------------------------------------------------- topics

    def create_topics(self, partitions: Mapping[str, int]) -> None:
        with available(self.engine), writing(self.engine) as connection:
            for category, count in sorted(partitions.items()):
                self._create_topic(connection, topic_name(self.app, category), count)

    def _create_topic(self, connection: Connection, topic: str, count: int) -> None:
        if not is_sqlite(connection):
            connection.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"headwater/{topic}"))))
        recorded = connection.scalar(select(schema.topic.c.partitions).where(schema.topic.c.topic == topic))
        if recorded is None:
            connection.execute(insert(schema.topic), {"topic": topic, "partitions": count})
            connection.execute(insert(schema.head), [{"topic": topic, "partition": p, "next": 0} for p in range(count)])
        elif recorded != count:
            raise DeclarationError(
                f"topic {topic} has {recorded} partitions, and {count} are declared",
                "the partition of a stream depends on the count, so changing it would fork streams",
                f"declare {recorded} partitions",
            )
        self._partitions[topic] = count

    def _place(self, stream: str) -> TopicPartition:
        topic = topic_name(self.app, split_stream(stream)[0])
        return topic, partition_of(stream, self._count(topic))

    def _count(self, topic: str) -> int:
        count = self._partitions.get(topic)
        if count is None:
            with available(self.engine), reading(self.engine) as connection:
                count = connection.scalar(select(schema.topic.c.partitions).where(schema.topic.c.topic == topic))
            if count is None:
                raise NotFound(f"there is no topic {topic}", "no aggregate or ingest of its category made it yet")
            self._partitions[topic] = count
        return count

    # ---------------------------------------------------------------- appending

    def append(self, appends: Sequence[Append], connection: Connection | None = None) -> list[Outcome]:
        if any(not append.events for append in appends):
            raise ValueError("an append holds at least one event")
        if connection is not None:
            return self._append_within(appends, connection)
        return self._append_durably(appends)

    def _append_within(self, appends: Sequence[Append], connection: Connection) -> list[Outcome]:
        """In the caller's transaction: conflicts are found by query, so nothing here can break it."""
        if not connection.in_transaction():
            raise HeadwaterError(
                "append(connection=…) was called outside a transaction",
                "the events are to be committed together with what else it holds",
                "begin one: with app.transaction() as connection",
            )
        if not is_sqlite(connection) and connection.get_isolation_level() != "READ COMMITTED":
            raise HeadwaterError(
                f"append(connection=…) was called under {connection.get_isolation_level()}",
                "what others committed while it waited for its lock would stay unseen",
                "use READ COMMITTED",
            )
        made = self._steps(connection.connection.driver_connection, appends, own=False, sent={})
        self.wakeup.after(connection)
        return made.outcomes

    def _append_durably(self, appends: Sequence[Append]) -> list[Outcome]:
        """In a transaction of its own. After a lost answer it is sent again: known ids tell what became of it."""
        sent: dict[int, int] = {}
        for attempt in range(1, COMMIT_ATTEMPTS + 1):
            try:
                outcomes = self._attempt(appends, sent)
            except Exception as error:
                if not is_transient(error):
                    raise
                if attempt == COMMIT_ATTEMPTS:
                    raise unavailable(self.engine, error) from error
                time.sleep(RETRY_SECONDS * attempt)
            else:
                if any(isinstance(outcome, Appended) and not outcome.repeated for outcome in outcomes):
                    self.wakeup.notify()
                return outcomes
        raise AssertionError("unreachable")

    def _attempt(self, appends: Sequence[Append], sent: dict[int, int]) -> list[Outcome]:
        """``sent``: the first version of every append that a former attempt may have committed."""
        try:
            if len(appends) == 1 and not sent and (made := self._append_one(appends[0], sent)) is not None:
                return [made]
            with turn(self.engine), self._raw() as raw:
                outcomes = self._steps(raw, appends, own=True, sent=sent).outcomes
        except Exception as error:
            if not is_unique_violation(error) or len(appends) == 1:
                raise
            return self._one_by_one(appends)
        return [_own(outcome, sent.get(n)) for n, outcome in enumerate(outcomes)]

    def _one_by_one(self, appends: Sequence[Append]) -> list[Outcome]:
        """Each in a transaction of its own. What is chained to one that is not stored now is refused with it."""
        outcomes: list[Outcome] = []
        broken: dict[str, int] = {}
        for append in appends:
            if append.chained and append.stream in broken:
                outcomes.append(VersionConflict(append.stream, append.expected, broken[append.stream]))
                continue
            (outcome,) = self._append_durably([append])
            outcomes.append(outcome)
            broken.pop(append.stream, None)
            if isinstance(outcome, VersionConflict):
                broken[append.stream] = outcome.actual
            elif isinstance(outcome, CommandIdReused) or outcome.repeated:
                broken[append.stream] = append.expected if isinstance(append.expected, int) else 0
        return outcomes

    def _append_one(self, append: Append, sent: dict[int, int]) -> Appended | None:
        """PostgreSQL's short way for a lone append; None: it has to go the long one."""
        if isinstance(self._appender, SqliteAppender):
            return None
        place = self._place(append.stream)
        try:
            with self._raw() as raw:
                return self._appender.append_one(raw, place, append)
        except Exception as error:
            if is_unique_violation(error):
                return None
            if isinstance(append.expected, int):
                sent[0] = append.expected + 1
            raise

    def _steps(self, raw: Any, appends: Sequence[Append], *, own: bool, sent: dict[int, int]) -> Plan:
        """The protocol: lock the heads, read, decide, write, commit."""
        appender = self._appender
        places = {append.stream: self._place(append.stream) for append in appends}
        partitions = sorted(set(places.values()))
        streams = wanted_streams(appends, places)
        if own:
            appender.begin(raw)
        heads, versions, known = appender.read(raw, partitions, streams, wanted_ids(appends, places))
        made = plan(appends, places, heads, versions, known)
        if made.rows:
            sent |= {n: o.first for n, o in enumerate(made.outcomes) if isinstance(o, Appended) and not o.repeated}
            appender.write(raw, made.rows, made.heads, raw.commit if own else None)
        elif own:
            raw.rollback()
        return made

    @contextmanager
    def _raw(self) -> Iterator[Any]:
        """A driver connection of the pool, rolled back on an error and thrown away when it broke."""
        pooled = self.engine.raw_connection()
        try:
            yield pooled.driver_connection
        except BaseException as error:
            if is_transient(error):
                pooled.invalidate(error if isinstance(error, Exception) else None)
            raise
        finally:
            pooled.close()

    # ---------------------------------------------------------------- reading

    def read_stream(
        self,
        stream: str,
        *,
        after: int = 0,
        until: int | None = None,
        at: datetime | None = None,
        backwards: bool = False,
        limit: int | None = None,
    ) -> Iterator[Record]:
        moment: object = time_text(at) if at is not None and is_sqlite(self.engine) else at
        low, high, left = after, until, limit
        while left is None or left > 0:
            size = PAGE if left is None else min(PAGE, left)
            wanted = {"topic =": topic_name(self.app, split_stream(stream)[0]), "stream =": stream, "version >": low}
            wanted |= {"version <=": high} if high is not None else {}
            wanted |= {"at <=": moment} if at is not None else {}
            with available(self.engine), reading(self.engine) as connection:
                rows = select_records(connection, wanted, f"version{' DESC' * backwards} LIMIT {size}")
            for row in rows:
                yield to_record(self.app, row)
            if len(rows) < size:
                return
            left = None if left is None else left - size
            low, high = (low, rows[-1].version - 1) if backwards else (rows[-1].version, high)

    def repeated(self, stream: str, event_id: str) -> tuple[Appended, str] | None:
        topic = topic_name(self.app, split_stream(stream)[0])
        event = schema.event.c
        query = select(event.stream, event.version, event.partition, event.offset, event.appended, event.digest)
        with available(self.engine), reading(self.engine) as connection:
            row = connection.execute(query.where(event.topic == topic, event.id == event_id)).first()
        if row is None:
            return None
        known = Known._make(row)
        return first_outcome(known, (topic, known.partition)), known.digest

    def streams(self, category: str, *, after: str = "", limit: int = 100) -> list[StreamInfo]:
        event = schema.event.c
        newest = (
            select(event.stream, func.max(event.version).label("version"))
            .where(event.topic == topic_name(self.app, category), event.stream > after)
            .group_by(event.stream)
            .order_by(event.stream)
            .limit(limit)
            .subquery()
        )
        query = (
            select(event.stream, event.version, event.partition, event.at)
            .join(newest, (event.stream == newest.c.stream) & (event.version == newest.c.version))
            .where(event.topic == topic_name(self.app, category))
            .order_by(event.stream)
        )
        with available(self.engine), reading(self.engine) as connection:
            rows = connection.execute(query).all()
        return [StreamInfo(row.stream, row.version, row.partition, row.at) for row in rows]

    def source(self, categories: Iterable[str]) -> SqlSource:
        return SqlSource(self.engine, self.app, sorted({topic_name(self.app, c) for c in categories}), self.wakeup)


def _own(outcome: Outcome, sent: int | None) -> Outcome:
    """What is known because a former attempt of this very call stored it is no repetition."""
    if isinstance(outcome, Appended) and outcome.repeated and outcome.first == sent:
        return replace(outcome, repeated=False)
    return outcome
