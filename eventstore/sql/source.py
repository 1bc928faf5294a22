"""Reading topics of the SQL log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import Engine, select

from eventstore.errors import PositionOutsideLog
from eventstore.model.record import Position, Record, TopicPartition
from eventstore.sql import schema
from eventstore.sql.engine import available, is_sqlite, reading, table_name
from eventstore.sql.rows import COLUMNS, to_record

_SELECTED = ", ".join(f'"{name}"' for name in COLUMNS)

if TYPE_CHECKING:
    from eventstore.sql.wakeup import Wakeup


class SqlSource:
    """Implements :class:`~eventstore.model.log.Source` for topics of the log."""

    def __init__(self, engine: Engine, app: str, topics: Sequence[str], wakeup: Wakeup) -> None:
        self._engine, self._app, self._topics, self._wakeup = engine, app, list(topics), wakeup
        self._seen = wakeup.count
        # In the driver's own words: this is read for every event of every rebuild.
        mark = "?" if is_sqlite(engine) else "%s"
        self._select = (
            f"SELECT {_SELECTED} FROM {table_name(engine, 'hw_event')} "
            f'WHERE topic = {mark} AND partition = {mark} AND "offset" >= {mark} AND "offset" < {mark} '
            f'ORDER BY "offset" LIMIT {mark}'
        )

    def partitions(self) -> Sequence[TopicPartition]:
        return sorted(self.ends())

    def ends(self) -> Position:
        head = schema.head.c
        query = select(head.topic, head.partition, head.next).where(head.topic.in_(self._topics))
        with available(self._engine), reading(self._engine) as connection:
            return {(row.topic, row.partition): row.next for row in connection.execute(query)}

    def read(self, position: Position, limit: int) -> list[Record]:
        self._seen = self._wakeup.count  # before looking: what comes later wakes `wait` at once
        ends = self.ends()
        records: list[Record] = []
        for partition, offset in position.items():
            _check(partition, offset, ends.get(partition))
            if offset >= ends[partition] or len(records) >= limit:
                continue
            span = (*partition, offset, ends[partition], limit - len(records))
            with available(self._engine), reading(self._engine) as connection:
                rows = connection.exec_driver_sql(self._select, span).all()
            records += [to_record(self._app, row) for row in rows]
        return records

    def wait(self, position: Position, timeout: float) -> None:
        self._wakeup.wait(self._seen, timeout)


def _check(partition: TopicPartition, offset: int, end: int | None) -> None:
    if end is None or not 0 <= offset <= end:
        raise PositionOutsideLog(
            f"the position {offset} of {partition[0]}[{partition[1]}] is outside the log, which ends at {end}",
            "the log was restored from a backup, or the database was mixed up with another",
            "point HEADWATER_DATABASE at the right database, or rebuild what was read from this log",
        )
