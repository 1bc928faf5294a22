"""Stored events as records."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Select, select

from eventstore.model.codec import CONTENT_TYPE, SCHEMA_URN
from eventstore.model.record import Record
from eventstore.sql import schema

COLUMNS = ("topic", "partition", "offset", "stream", "version", "id", "type", "data_version", "at", "data", "headers")


def select_records() -> Select[Any]:
    """The columns that :func:`to_record` takes, in its order."""
    return select(*(schema.event.c[name] for name in COLUMNS))


def as_time(value: datetime | str) -> datetime:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def to_record(app: str, row: Sequence[Any]) -> Record:
    """A stored event with the headers that Kafka would hold; see :func:`eventstore.model.codec.headers`."""
    topic, partition, offset, stream, version, id, type, data_version, at, data, extra = row
    if isinstance(at, str):
        text, at = at, datetime.fromisoformat(at)
    else:
        text = at.isoformat()
    headers = orjson.loads(extra)
    headers["ce_specversion"] = "1.0"
    headers["ce_id"] = id
    headers["ce_type"] = type
    headers["ce_source"] = f"/{app}"
    headers["ce_subject"] = stream
    headers["ce_time"] = text
    headers["ce_sequence"] = str(version)
    headers["ce_dataschema"] = f"{SCHEMA_URN}{type}:{data_version}"
    headers["content-type"] = CONTENT_TYPE
    return Record(topic, partition, offset, f"{stream}:{version}".encode(), data.encode(), headers, at)
