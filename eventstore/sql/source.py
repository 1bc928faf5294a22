"""Reading topics of the SQL log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import Connection, Engine, select

from eventstore.errors import PositionOutsideLog
from eventstore.model.record import Position, Record, TopicPartition
from eventstore.sql import schema
from eventstore.sql.engine import is_sqlite, reading
from eventstore.sql.faults import available
from eventstore.sql.rows import COLUMNS, to_record
from eventstore.sql.schema import SCHEMA

# In the drivers' own words: this is read for every event of every rebuild.
_SELECTED = ", ".join(f'e."{name}"' for name in COLUMNS)
_SQLITE = f"""
SELECT {_SELECTED} FROM hw_event e
WHERE e.topic = ? AND e.partition = ? AND e."offset" >= ? AND e."offset" < ? ORDER BY e."offset"
"""
_POSTGRESQL = f"""
SELECT {_SELECTED} FROM jsonb_array_elements(%s::jsonb) WITH ORDINALITY w (span, nr),
    LATERAL (SELECT * FROM {SCHEMA}.hw_event
             WHERE topic = w.span->>0 AND partition = (w.span->>1)::int
               AND "offset" >= (w.span->>2)::bigint AND "offset" < (w.span->>3)::bigint
             ORDER BY "offset" LIMIT {1 << 30}) e
ORDER BY w.nr, e."offset"
"""

if TYPE_CHECKING:
    from eventstore.sql.wakeup import Wakeup


class SqlSource:
    """Implements :class:`~eventstore.model.log.Source` for topics of the log."""

    def __init__(self, engine: Engine, app: str, topics: Sequence[str], wakeup: Wakeup) -> None:
        self._engine, self._app, self._topics, self._wakeup = engine, app, list(topics), wakeup
        self._seen = wakeup.count
        self._select = _SQLITE if is_sqlite(engine) else _POSTGRESQL

    def partitions(self) -> Sequence[TopicPartition]:
        return sorted(self.ends())

    def ends(self) -> Position:
        with available(self._engine), reading(self._engine) as connection:
            return self._ends(connection)

    def _ends(self, connection: Connection) -> Position:
        head = schema.head.c
        query = select(head.topic, head.partition, head.next).where(head.topic.in_(self._topics))
        return {(topic, partition): next for topic, partition, next in connection.execute(query)}

    def read(self, position: Position, limit: int) -> list[Record]:
        self._seen = self._wakeup.count  # before looking: what comes later wakes `wait` at once
        with available(self._engine), reading(self._engine) as connection:
            ends = self._ends(connection)
            for partition, offset in position.items():
                _check(partition, offset, ends.get(partition))
            spans = shares({partition: (offset, ends[partition]) for partition, offset in position.items()}, limit)
            rows = self._rows(connection, spans) if spans else []
        return [to_record(self._app, row) for row in rows]

    def _rows(self, connection: Connection, spans: Sequence[tuple[str, int, int, int]]) -> Sequence[Sequence[Any]]:
        if is_sqlite(self._engine):
            return [row for span in spans for row in connection.exec_driver_sql(self._select, span)]
        return connection.exec_driver_sql(self._select, (orjson.dumps(spans).decode(),)).all()

    def wait(self, position: Position, timeout: float) -> None:
        self._wakeup.wait(self._seen, timeout)


def shares(waiting: Mapping[TopicPartition, tuple[int, int]], limit: int) -> list[tuple[str, int, int, int]]:
    """``limit`` divided over partitions that have something: ``(topic, partition, from, to)``, in their order.

    ``waiting``: from where to where there are records. Nobody gets less because another has more, so a busy
    partition cannot starve the others.
    """
    spans: list[tuple[str, int, int, int]] = []
    fullest_last = sorted((end - begin, partition) for partition, (begin, end) in waiting.items() if end > begin)
    for n, (size, partition) in enumerate(fullest_last):
        taken = min(size, max(limit // (len(fullest_last) - n), 1), limit)
        if taken:
            begin = waiting[partition][0]
            spans.append((*partition, begin, begin + taken))
        limit -= taken
    return sorted(spans)


def _check(partition: TopicPartition, offset: int, end: int | None) -> None:
    if end is None or not 0 <= offset <= end:
        raise PositionOutsideLog(
            f"the position {offset} of {partition[0]}[{partition[1]}] is outside the log, which ends at {end}",
            "the log was restored from a backup, or the database was mixed up with another",
            "point HEADWATER_DATABASE at the right database, or rebuild what was read from this log",
        )
