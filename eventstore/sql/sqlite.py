"""Appending on SQLite: the steps of the protocol in the driver's own words, without SQLAlchemy between."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from eventstore.model.record import TopicPartition
from eventstore.sql.plan import Known, NewRow

_HEAD = "SELECT next FROM hw_head WHERE topic = ? AND partition = ?"
_VERSION = "SELECT max(version) FROM hw_event WHERE topic = ? AND stream = ?"
_KNOWN = 'SELECT stream, version, partition, "offset", appended, digest FROM hw_event WHERE topic = ? AND id = ?'
_INSERT = f"INSERT INTO hw_event VALUES ({', '.join('?' * 13)})"
_ADVANCE = "UPDATE hw_head SET next = ? WHERE topic = ? AND partition = ?"


def time_text(at: datetime) -> str:
    """ISO 8601 in UTC with six digits: it sorts as the times do."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


class SqliteAppender:
    """The statements of an append on a :class:`sqlite3.Connection`."""

    def begin(self, connection: Any) -> None:
        """Take the file's write lock: nobody else appends from here to the commit."""
        connection.execute("BEGIN IMMEDIATE")

    def read(
        self,
        connection: Any,
        partitions: Sequence[TopicPartition],
        streams: Sequence[tuple[str, str, int]],
        ids: Sequence[tuple[str, str]],
    ) -> tuple[dict[TopicPartition, int], dict[tuple[str, str], int], dict[tuple[str, str], Known]]:
        """Heads, versions of streams, known ids. In-process statements: a loop costs no round trips."""
        one = connection.execute
        heads = {p: row[0] for p in partitions if (row := one(_HEAD, p).fetchone())}
        versions = {stream[:2]: one(_VERSION, stream[:2]).fetchone()[0] or 0 for stream in streams}
        known = {id: Known._make(row) for id in ids if (row := one(_KNOWN, id).fetchone())}
        return heads, versions, known

    def write(
        self,
        connection: Any,
        rows: Sequence[NewRow],
        heads: Mapping[TopicPartition, int],
        commit: Callable[[], None] | None,
    ) -> None:
        """Insert ``rows``, move ``heads``, and commit when asked to."""
        shared: dict[int, tuple[str, str]] = {}
        values = []
        for (topic, partition), offset, version, event, append in rows:
            text = shared.get(id(append))
            if text is None:
                text = shared[id(append)] = (time_text(append.at), orjson.dumps(append.headers).decode())
            where = (topic, partition, offset, append.stream, version, event.id, event.type, event.schema)
            values.append((*where, text[0], event.data.decode(), text[1], len(append.events), append.digest))
        connection.executemany(_INSERT, values)
        connection.executemany(_ADVANCE, [(next, *partition) for partition, next in heads.items()])
        if commit is not None:
            commit()
