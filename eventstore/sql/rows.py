"""Stored events as records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from eventstore.model.record import Record
from eventstore.model.stored import SCHEMA_URN, StoredHeaders
from eventstore.sql.engine import is_sqlite, table_name

COLUMNS = ("topic", "partition", "offset", "stream", "version", "id", "type", "data_version", "at", "data", "headers")
SELECTED = ", ".join(f'"{name}"' for name in COLUMNS)


def select_records(connection: Connection, where: Mapping[str, object], order: str) -> Sequence[Row[Any]]:
    """The columns that :func:`to_record` takes, in its order. ``where``: ``{"version >": 3}``, never from outside.

    In the driver's own words: composing such a statement takes as long as reading a hundred events.
    """
    mark = "?" if is_sqlite(connection) else "%s"
    conditions = " AND ".join(f"{condition} {mark}" for condition in where)
    statement = f"SELECT {SELECTED} FROM {table_name(connection, 'hw_event')} WHERE {conditions} ORDER BY {order}"
    return connection.exec_driver_sql(statement, tuple(where.values())).all()


def to_record(app: str, row: Sequence[Any]) -> Record:
    """A stored event with the headers that Kafka would hold.

    Its key is ``<stream>:<version>``: unique, so that compaction of an events topic removes nothing.
    """
    topic, partition, offset, stream, version, id, type, schema, at, data, extra = row
    try:
        if isinstance(at, str):
            at = datetime.fromisoformat(at)
        headers = StoredHeaders(app, type, schema, (stream, version, at, id), extra)
        return Record._make((topic, partition, offset, f"{stream}:{version}".encode(), data.encode(), headers, at))
    except (ValueError, AttributeError):
        return _as_it_is(row)


def _as_it_is(row: Sequence[Any]) -> Record:
    """What somebody wrote into the table by hand, in columns that SQLite lets hold anything: it cannot be decoded."""
    topic, partition, offset, stream, version, id, type, schema, at, data, _ = row
    headers = {"ce_id": str(id), "ce_type": str(type), "ce_subject": str(stream), "ce_sequence": str(version)}
    headers |= {"ce_time": str(at), "ce_dataschema": f"{SCHEMA_URN}{type}:{schema}"}
    value = data if isinstance(data, bytes) else str(data).encode()
    return Record(topic, partition, offset, f"{stream}:{version}".encode(), value, headers)
