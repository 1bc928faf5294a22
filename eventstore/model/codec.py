"""Events to stored form and back: JSON data, CloudEvents headers, and the check that nothing is lost.

Headers follow CloudEvents' binary mode for Kafka (``ce_`` attributes): ``ce_id, ce_type, ce_source,
ce_subject`` (the stream), ``ce_time, ce_sequence`` (the version), ``ce_dataschema`` (name and version of
the data), ``ce_correlationid, ce_causationid, traceparent, content-type``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from eventstore.errors import NotStorable, Undecodable
from eventstore.model.message import Command, Event, Meta, registry, stamp
from eventstore.model.record import Record
from eventstore.model.stored import StoredHeaders

_IDS = UUID("6f2b0a52-6a7c-5d0e-9a53-0d6d2f9f1d11")
_UUID_MASK = (1 << 128) - 1 ^ (0xF << 76 | 0x3 << 62)
_UUID_5 = 5 << 76 | 2 << 62


class NewEvent(NamedTuple):
    """An event on its way into the log: encoded, with its id, without a version yet."""

    id: str
    type: str
    schema: int
    data: bytes


def encode(event: Event, id: str) -> NewEvent:
    """Encode ``event``, having made sure that it will be read back equal; :class:`NotStorable` otherwise."""
    kind = type(event)
    try:
        data = kind.__pydantic_serializer__.to_json(event)
    except (PydanticSerializationError, UnicodeEncodeError) as error:
        raise _not_storable(event, str(error)) from error
    try:
        back = kind.__pydantic_validator__.validate_json(data)
    except ValidationError as error:
        raise _not_storable(event, f"it is stored as {_clip(data)}, which is refused when read: {error}") from error
    if back != event and not _same(back.__dict__, event.__dict__):
        raise _not_storable(event, f"it would come back as {back!r}")
    return NewEvent(id, kind.event_name, kind.event_version, data)


def _same(a: Any, b: Any) -> bool:
    """Equality in which NaN equals NaN; only asked when ``==`` says no."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(v, b[k]) for k, v in a.items())
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(_same, a, b))
    if hasattr(a, "__pydantic_fields__"):
        return _same(a.__dict__, b.__dict__)
    return bool(a == b or (a != a and b != b))


def _not_storable(event: Event, why: str) -> NotStorable:
    return NotStorable(
        f"{type(event).__name__} does not survive being stored: {_clip(event)}",
        why,
        "use types that JSON carries exactly (a field typed Any keeps neither tuples nor classes)",
    )


def _clip(value: object, length: int = 300) -> str:
    text = value.decode(errors="replace") if isinstance(value, bytes) else repr(value)
    return text if len(text) <= length else text[:length] + "…"


def event_id(cause: str, ordinal: int) -> str:
    """The id of the ``ordinal``-th event of a command (or source record): the same whenever it is repeated.

    It is ``uuid5`` of the two, made in a quarter of the time. Source: RFC 9562, section 5.5.
    """
    digest = hashlib.sha1(_IDS.bytes + f"{cause}/{ordinal}".encode(), usedforsecurity=False).digest()
    number = int.from_bytes(digest[:16], "big") & _UUID_MASK | _UUID_5
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def command_digest(command: Command) -> str:
    """What tells one command's payload from another's under the same id."""
    payload = type(command).__pydantic_serializer__.to_json(command)
    return hashlib.sha256(type(command).__name__.encode() + b"\0" + payload).hexdigest()[:32]


def meta_headers(meta: Meta) -> dict[str, str]:
    """The headers that all events of one command share: where they come from."""
    found = {
        "ce_correlationid": meta.correlation_id,
        "ce_causationid": meta.causation_id,
        "ce_tenant": meta.tenant,
        "ce_user": meta.user,
        "traceparent": meta.traceparent,
    }
    return {name: value for name, value in found.items() if value}


def meta_of(headers: Mapping[str, str]) -> Meta:
    """The metadata that an event's headers carry; :class:`Undecodable` when they are not those of an event."""
    if type(headers) is StoredHeaders:
        return headers.meta()
    get = headers.get
    try:
        return Meta(
            headers["ce_subject"],
            int(headers["ce_sequence"]),
            datetime.fromisoformat(headers["ce_time"]),
            headers["ce_id"],
            get("ce_correlationid", ""),
            get("ce_causationid", ""),
            get("ce_tenant"),
            get("ce_user"),
            get("traceparent"),
        )
    except (KeyError, ValueError) as error:
        raise Undecodable(
            "this record is not an event of headwater",
            f"its headers lack or garble {error}",
            "keep other records out of an events topic, or ingest them from a topic of their own",
        ) from error


def event_type(headers: Mapping[str, str]) -> type[Event] | None:
    """The class of a stored event, or None when this process knows none of that name."""
    return registry.find(headers.type if type(headers) is StoredHeaders else headers.get("ce_type", ""))


def decode(record: Record) -> Event:
    """The event that ``record`` holds, brought to its class's version and stamped with its metadata."""
    kind = event_type(record.headers)
    if kind is None:
        raise Undecodable(
            f"no class is known for the event {record.headers.get('ce_type', '(without ce_type)')!r}",
            "it was stored by other code, or its class was renamed or is not imported",
            'import its class, or give the renamed one was=("<old name>",)',
        )
    if record.value is None:
        raise Undecodable(f"the {kind.event_name} at {record!r} is empty", "its record is a tombstone")
    stored = _schema_version(record.headers)
    try:
        if stored == kind.event_version:
            event: Event = kind.__pydantic_validator__.validate_json(record.value)
        else:
            event = kind.__pydantic_validator__.validate_python(_upcast(kind, record.value, stored))
    except ValidationError as error:
        raise Undecodable(
            f"the {kind.event_name} {record.headers.get('ce_id', '')} does not fit {kind.__name__}",
            str(error),
            f"raise version= of {kind.__name__} and add @upcasts for what changed",
        ) from error
    headers = record.headers
    return stamp(event, headers.meta if type(headers) is StoredHeaders else meta_of(headers))


def _schema_version(headers: Mapping[str, str]) -> int:
    if type(headers) is StoredHeaders:
        return headers.schema
    schema = headers.get("ce_dataschema") or "1"
    try:
        return int(schema.rpartition(":")[2])
    except ValueError as error:
        raise Undecodable(f"ce_dataschema {schema!r} names no version") from error


def _upcast(kind: type[Event], value: bytes, stored: int) -> dict[str, Any]:
    if stored > kind.event_version:
        raise Undecodable(
            f"a {kind.event_name} of version {stored} was stored, and {kind.__name__} is at {kind.event_version}",
            "newer code wrote it",
            "deploy the newer code here too",
        )
    if stored < 1:
        raise Undecodable(f"a {kind.event_name} of version {stored} was stored", "versions count from 1")
    try:
        data: dict[str, Any] = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise Undecodable(f"the data of a {kind.event_name} is not JSON", str(error)) from error
    for to in range(stored + 1, kind.event_version + 1):
        data = kind.upcasters[to](data)
    return data
