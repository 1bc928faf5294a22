"""Appending on PostgreSQL: the steps of the protocol, in two round trips for a group and in one for one append."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import orjson

from eventstore.model.log import Append, Appended, Expect
from eventstore.model.record import TopicPartition
from eventstore.sql.plan import Known, NewRow

# Sets travel as JSON: the driver would spend more time on arrays than the server on all the rest. Where a topic
# is compared as topic || '', no index that begins with it is to be used; see the constraints of hw_event.
# One statement that locks in a fixed order. A multi-row UPDATE locks in the plan's order and deadlocks.
_LOCK = """
SELECT topic, partition, next FROM headwater.hw_head
WHERE (topic, partition) IN (SELECT value->>0, (value->>1)::int FROM jsonb_array_elements(%s::jsonb))
ORDER BY topic, partition FOR UPDATE
"""
# A stream is most likely at the version it is expected at, so the few rows from there on are looked at first.
_VERSIONS = """
SELECT w.value->>0, w.value->>1,
       coalesce(
           (SELECT max(e.version) FROM headwater.hw_event e WHERE e.topic || '' = w.value->>0
            AND e.stream = w.value->>1 AND e.version >= (w.value->>2)::bigint),
           (SELECT max(e.version) FROM headwater.hw_event e WHERE e.topic || '' = w.value->>0
            AND e.stream = w.value->>1),
           0)
FROM jsonb_array_elements(%s::jsonb) w
"""
_KNOWN = """
SELECT e.topic, e.id, e.stream, e.version, e.partition, e."offset", e.appended, e.digest
FROM jsonb_array_elements(%s::jsonb) w,
     LATERAL (SELECT * FROM headwater.hw_event WHERE topic || '' = w.value->>0 AND id = w.value->>1 LIMIT 1) e
"""
_COLUMNS = 'topic, partition, "offset", stream, version, id, type, data_version, at, data, headers, appended, digest'
_INSERT = f"""
INSERT INTO headwater.hw_event ({_COLUMNS})
SELECT v->>0, (v->>1)::int, (v->>2)::bigint, v->>3, (v->>4)::bigint, v->>5, v->>6, (v->>7)::int,
       (v->>8)::timestamptz, v->>9, v->>10, (v->>11)::int, v->>12
FROM jsonb_array_elements(%s::jsonb) v
"""
_ADVANCE = """
UPDATE headwater.hw_head h SET next = (w.value->>2)::bigint
FROM jsonb_array_elements(%s::jsonb) w WHERE h.topic = w.value->>0 AND h.partition = (w.value->>1)::int
"""
# All five steps for one append, in one statement and so in one transaction. The UPDATE locks the head, and the
# lock shows it the newest offset. The conditions look at what was committed when the statement began, and that
# is enough: a stream never gets shorter, so it still reaches :expected; and whoever appended while the lock was
# waited for left rows that the unique constraints find, which undoes the statement. Then the long way decides.
_ONE = f"""
WITH head AS (
    UPDATE headwater.hw_head SET next = next + %(count)s
    WHERE topic = %(topic)s AND partition = %(partition)s
      AND (%(expected)s = 0 OR EXISTS (SELECT FROM headwater.hw_event e WHERE e.topic || '' = %(topic)s
                                       AND e.stream = %(stream)s AND e.version = %(expected)s))
      AND NOT EXISTS (SELECT FROM headwater.hw_event e WHERE e.topic || '' = %(topic)s
                      AND e.stream = %(stream)s AND e.version = %(expected)s::bigint + 1)
      AND NOT EXISTS (SELECT FROM headwater.hw_event e WHERE e.topic || '' = %(topic)s AND e.id IN ({{ids}}))
    RETURNING next - %(count)s AS base
)
INSERT INTO headwater.hw_event ({_COLUMNS})
SELECT %(topic)s, %(partition)s, head.base + new.n, %(stream)s, %(expected)s::bigint + 1 + new.n, new.id, new.type,
       new.data_version, %(at)s, new.data, %(headers)s, %(count)s, %(digest)s
FROM head, (VALUES {{rows}}) new (n, id, type, data_version, data)
RETURNING "offset" - (version - %(expected)s::bigint - 1)
"""
MOST_EVENTS_AT_ONCE = 16


def _json(rows: Sequence[Sequence[Any]]) -> str:
    return orjson.dumps(rows).decode()


@cache
def _one(count: int) -> str:
    ids = ", ".join(f"%(id{n})s" for n in range(count))
    rows = ", ".join(f"({n}, %(id{n})s, %(type{n})s, %(schema{n})s::int, %(data{n})s)" for n in range(count))
    return _ONE.format(ids=ids, rows=rows)


class PostgresAppender:
    """The statements of an append on a :class:`psycopg.Connection`.

    Each statement is sent after the lock is asked for, and READ COMMITTED gives each its own snapshot: what
    is read after the lock is granted is what was committed by then.
    """

    def begin(self, connection: Any) -> None:
        """Nothing to send: the driver begins with the first statement, in the same round trip."""

    def read(
        self,
        connection: Any,
        partitions: Sequence[TopicPartition],
        streams: Sequence[tuple[str, str, int]],
        ids: Sequence[tuple[str, str]],
    ) -> tuple[dict[TopicPartition, int], dict[tuple[str, str], int], dict[tuple[str, str], Known]]:
        """Lock the heads in order, then read versions and known ids: one round trip."""
        with connection.pipeline():
            locked = connection.execute(_LOCK, (_json(partitions),))
            found = connection.execute(_VERSIONS, (_json(streams),))
            stored = connection.execute(_KNOWN, (_json(ids),))
        heads = {(topic, partition): next for topic, partition, next in locked.fetchall()}
        versions = {(topic, stream): version for topic, stream, version in found.fetchall()}
        known = {(row[0], row[1]): Known._make(row[2:]) for row in stored.fetchall()}
        return heads, versions, known

    def write(
        self,
        connection: Any,
        rows: Sequence[NewRow],
        heads: Mapping[TopicPartition, int],
        commit: Callable[[], None] | None,
    ) -> None:
        """Insert ``rows``, move ``heads``, and commit when asked to: one round trip."""
        shared: dict[int, str] = {}
        values = []
        for (topic, partition), offset, version, event, append in rows:
            headers = shared.get(id(append))
            if headers is None:
                headers = shared[id(append)] = orjson.dumps(append.headers).decode()
            where = (topic, partition, offset, append.stream, version, event.id, event.type, event.schema)
            values.append((*where, append.at, event.data.decode(), headers, len(append.events), append.digest))
        moved = [(topic, partition, next) for (topic, partition), next in heads.items()]
        with connection.pipeline():
            connection.execute(_INSERT, (_json(values),))
            connection.execute(_ADVANCE, (_json(moved),))
            if commit is not None:
                commit()

    def append_one(self, connection: Any, partition: TopicPartition, append: Append) -> Appended | None:
        """Append and commit in one round trip, on a connection outside a transaction.

        None: something is in the way (and nothing was written); the steps one by one will say what. Raises
        a unique violation when somebody else appended to the stream just now.
        """
        expected = 0 if append.expected is Expect.NO_STREAM else append.expected
        count = len(append.events)
        if isinstance(expected, Expect) or count > MOST_EVENTS_AT_ONCE:
            return None
        values: dict[str, Any] = {
            "topic": partition[0],
            "partition": partition[1],
            "stream": append.stream,
            "expected": expected,
            "at": append.at,
            "headers": orjson.dumps(append.headers).decode(),
            "count": count,
            "digest": append.digest,
        }
        for n, event in enumerate(append.events):
            values |= {f"id{n}": event.id, f"type{n}": event.type, f"schema{n}": event.schema}
            values[f"data{n}"] = event.data.decode()
        connection.autocommit = True
        try:
            row = connection.execute(_one(count), values).fetchone()
        finally:
            if not connection.closed:
                connection.autocommit = False
        if row is None:
            return None
        return Appended(append.stream, expected + 1, expected + count, partition, row[0])
