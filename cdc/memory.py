"""What an ingest remembers of the source between batches: watermarks, snapshots, truncates. Stored with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
from sqlalchemy import Connection, Table, select

from cdc import schema
from cdc.message import SourcePosition
from cdc.snapshots import Snapshots, SourceSnapshot, as_mapping, from_mapping
from cdc.watermark import Watermark, Watermarks
from eventstore.model.record import Position
from eventstore.sql.schema import checkpoint
from eventstore.sql.upsert import upsert


class Memory:
    """Loaded by ``load``, moved by what is delivered, stored by ``write`` in the batch's transaction."""

    def __init__(self, ingest: str, ends: Callable[[], Position] | None) -> None:
        self._ingest, self._ends = ingest, ends
        self.watermarks = Watermarks()
        self.snapshots = Snapshots(ends)
        self.truncated: dict[str, SourcePosition] = {}

    def load(self, connection: Connection) -> None:
        self.watermarks, self.snapshots = Watermarks(), Snapshots(self._ends)
        for row in self._rows(connection, schema.watermark):
            position = SourcePosition(row.commit_lsn, row.lsn, row.total_order)
            seen = {(key, op) for key, op in orjson.loads(row.seen)}
            mark = Watermark(row.source_table, position, row.at, seen)
            self.watermarks.held[row.topic, row.partition] = mark
        for row in self._rows(connection, schema.source_snapshot):
            self.snapshots.held[row.source] = _snapshot(row)
        self.truncated = {
            row.source_table: SourcePosition(row.commit_lsn, row.lsn, row.total_order)
            for row in self._rows(connection, schema.truncated)
        }
        at = checkpoint.c
        query = select(at.topic, at.partition, at.position).where(at.pipeline == self._ingest)
        self.snapshots.read = {(row.topic, row.partition): row.position for row in connection.execute(query)}

    def _rows(self, connection: Connection, table: Table) -> list[Any]:
        return list(connection.execute(select(table).where(table.c.ingest == self._ingest)))

    def write(self, connection: Connection, truncations: set[str]) -> None:
        marks, snapshots = self.watermarks, self.snapshots
        _store(connection, schema.watermark, [self._mark(p, marks.held[p]) for p in sorted(marks.moved)])
        stored = [self._snapshot(source, snapshots.held[source]) for source in sorted(snapshots.moved)]
        _store(connection, schema.source_snapshot, stored)
        places = [
            {"ingest": self._ingest, "source_table": table, **_place(self.truncated[table])}
            for table in sorted(truncations)
        ]
        _store(connection, schema.truncated, places)

    def settle(self) -> None:
        self.watermarks.moved.clear()
        self.snapshots.moved.clear()

    def _mark(self, partition: tuple[str, int], mark: Watermark) -> dict[str, Any]:
        return {
            "ingest": self._ingest,
            "topic": partition[0],
            "partition": partition[1],
            "source_table": mark.table,
            **_place(mark.position),
            "at": mark.at,
            "seen": orjson.dumps(sorted(mark.seen)).decode(),
        }

    def _snapshot(self, source: str, snapshot: SourceSnapshot) -> dict[str, Any]:
        until = None if snapshot.until is None else orjson.dumps(as_mapping(snapshot.until)).decode()
        return {
            "ingest": self._ingest,
            "source": source,
            "lsn": snapshot.lsn,
            "at": snapshot.at,
            "tables": orjson.dumps({"keyed": snapshot.tables, "ended": sorted(snapshot.ended)}).decode(),
            "done": orjson.dumps(sorted(snapshot.done)).decode(),
            "until": until,
            "closed": int(snapshot.closed),
        }


def _snapshot(row: Any) -> SourceSnapshot:
    tables = orjson.loads(row.tables)
    done = {(table, partition) for table, partition in orjson.loads(row.done)}
    until = None if row.until is None else from_mapping(orjson.loads(row.until))
    return SourceSnapshot(row.lsn, row.at, tables["keyed"], set(tables["ended"]), done, until, bool(row.closed))


def _place(position: SourcePosition) -> dict[str, Any]:
    return {"commit_lsn": position.commit, "lsn": position.lsn, "total_order": position.order}


def _store(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(upsert(connection, table), rows)
