"""Appending on PostgreSQL: the steps of the protocol, sent in two round trips by pipeline mode."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from eventstore.model.record import TopicPartition
from eventstore.sql.plan import Known, NewRow

# One statement that locks in a fixed order. A multi-row UPDATE locks in the plan's order and deadlocks.
_LOCK = """
SELECT topic, partition, next FROM headwater.hw_head
WHERE (topic, partition) IN (SELECT * FROM unnest(%s::text[], %s::int[]))
ORDER BY topic, partition FOR UPDATE
"""
_VERSIONS = """
SELECT w.topic, w.stream,
       (SELECT max(e.version) FROM headwater.hw_event e WHERE e.topic = w.topic AND e.stream = w.stream)
FROM unnest(%s::text[], %s::text[]) AS w(topic, stream)
"""
_KNOWN = """
SELECT topic, id, stream, version, partition, "offset", appended, digest FROM headwater.hw_event
WHERE (topic, id) IN (SELECT * FROM unnest(%s::text[], %s::text[]))
"""
_INSERT = """
INSERT INTO headwater.hw_event (topic, partition, "offset", stream, version, id, type, data_version, at, data,
                                headers, appended, digest)
SELECT * FROM unnest(%s::text[], %s::int[], %s::bigint[], %s::text[], %s::bigint[], %s::text[], %s::text[],
                     %s::int[], %s::timestamptz[], %s::text[], %s::text[], %s::int[], %s::text[])
"""
_ADVANCE = """
UPDATE headwater.hw_head h SET next = w.next
FROM unnest(%s::text[], %s::int[], %s::bigint[]) AS w(topic, partition, next)
WHERE h.topic = w.topic AND h.partition = w.partition
"""


def _columns(rows: Sequence[Sequence[Any]], width: int) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]


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
        streams: Sequence[tuple[str, str]],
        ids: Sequence[tuple[str, str]],
    ) -> tuple[dict[TopicPartition, int], dict[tuple[str, str], int], dict[tuple[str, str], Known]]:
        """Lock the heads in order, then read versions and known ids: one round trip."""
        with connection.pipeline():
            locked = connection.execute(_LOCK, _columns(partitions, 2))
            found = connection.execute(_VERSIONS, _columns(streams, 2))
            stored = connection.execute(_KNOWN, _columns(ids, 2))
        heads = {(topic, partition): next for topic, partition, next in locked.fetchall()}
        versions = {(topic, stream): version or 0 for topic, stream, version in found.fetchall()}
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
            values.append(
                (topic, partition, offset, append.stream, version, event.id, event.type, event.schema)
                + (append.at, event.data.decode(), headers, len(append.events), append.digest)
            )
        moved = [(topic, partition, next) for (topic, partition), next in heads.items()]
        with connection.pipeline():
            connection.execute(_INSERT, _columns(values, 13))
            connection.execute(_ADVANCE, _columns(moved, 3))
            if commit is not None:
                commit()
