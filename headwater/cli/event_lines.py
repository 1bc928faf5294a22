"""Stored events as lines: read without the classes that wrote them, so that nothing stays hidden."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from eventstore.errors import Undecodable
from eventstore.model.codec import meta_of
from eventstore.model.record import Record
from headwater.cli.console import clipped, print_json_line, printable, readable, say
from headwater.cli.times import short_time


def event_document(record: Record) -> dict[str, Any]:
    """A stored event, whole: its data, its metadata, and where it stands; ``error``: why it has no metadata."""
    try:
        meta = meta_of(record.headers)
    except Undecodable as error:
        place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
        return place | {"error": error.why, "headers": dict(record.headers), "data": _data(record.value)}
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "stream": meta.stream,
        "version": meta.version,
        "type": record.headers.get("ce_type"),
        "at": meta.at,
        "id": meta.id,
        "correlation_id": meta.correlation_id,
        "causation_id": meta.causation_id,
        "tenant": meta.tenant,
        "user": meta.user,
        "data": _data(record.value),
    }


def _data(value: bytes | None) -> Any:
    if value is None:
        return None
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return readable(value)


def print_events(records: Iterable[Record], *, as_json: bool, streams: bool) -> int:
    """Print events line by line as they come; ``streams``: with the stream of each. How many there were."""
    count = 0
    for record in records:
        count += 1
        if as_json:
            print_json_line(event_document(record))
        else:
            say(_line(record, streams))
    return count


def _line(record: Record, streams: bool) -> Any:
    from rich.text import Text

    try:
        meta = meta_of(record.headers)
    except Undecodable as error:
        return Text(printable(f"{record.place} cannot be read: {error.why}"), style="red")
    place = f"{meta.stream}:{meta.version}" if streams else f"{meta.version:>5}"
    line = Text(f"{short_time(meta.at)}  ", style="dim")
    line.append(printable(place), style="not dim")
    line.append(f"  {record.headers.get('ce_type')}", style="not dim bold")
    line.append(f"  {printable(clipped(readable(record.value) or ''))}", style="not dim")
    return line
