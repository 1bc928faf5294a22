"""Debezium's JSON messages, decoded: changes of rows, and the messages beside them.

Key and value are each taken as they come, with a schema (``schemas.enable=true``) or without. With one, the
schema says how to read each column. Without one the types are declared, see :mod:`cdc.declared`; a column
without a type stays as JSON has it.

- A placeholder for an unchanged value (TOAST) becomes UNCHANGED where a value can be unchanged: in ``after``
  of an update, and of the create that follows a change of the primary key, but for the key's columns.
  Anywhere else the same text is a real value. (A column that is really set to the placeholder's text is
  taken for unchanged by an update: choose another ``unavailable.value.placeholder`` where that may happen.)
- ``position`` needs ``source.sequence``, which the PostgreSQL connector writes; it is None for others.
- Whatever is no message of Debezium is :class:`~eventstore.errors.Undecodable`, and nothing else is raised.

Source: Debezium's documentation of the PostgreSQL connector, "data change events".
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, get_args

import orjson

from cdc.envelope import DEFAULT_MAX_BYTES, Parsed, Parser
from cdc.message import Message, Op, Row, RowMessage, SideMessage, SourcePosition
from cdc.placeholder import DEFAULT_PLACEHOLDER, Placeholder
from cdc.row import RowDecoder
from cdc.side import Foreign, foreign, side_kind
from cdc.temporal import instant_of
from cdc.types import Type, shown
from eventstore.errors import Undecodable
from eventstore.model.record import CAPTURE_PARTITION, CAPTURE_TOPIC, Record

Declared = Mapping[str, Mapping[str, Type]]
"""``{"public.product": {"price": Decimal(2), …}, …}``: types of columns, for messages without a schema"""

CAPTURE_UNPARSABLE = "capture.unparsable"
NEW_KEY, OLD_KEY = "__debezium.newkey", "__debezium.oldkey"
MAX_REASON = 1_000
_OPS = frozenset(get_args(Op))
_SNAPSHOTS = {None: "false", False: "false", True: "true"}


class Decoder:
    """Decodes the records of one source; it remembers their schemas, so keep one. For one thread.

    ``declared``: types for messages without a schema. ``placeholder``: the connector's
    ``unavailable.value.placeholder``. ``max_bytes``: the longest key or value that is decoded.
    """

    def __init__(
        self,
        declared: Declared | None = None,
        *,
        placeholder: str = DEFAULT_PLACEHOLDER,
        max_bytes: int = DEFAULT_MAX_BYTES,
    ) -> None:
        self._placeholder = Placeholder(placeholder)
        self._keys, self._values = Parser(self._placeholder, max_bytes), Parser(self._placeholder, max_bytes)
        self._declared = {
            table: RowDecoder(types, self._placeholder, None) for table, types in (declared or {}).items()
        }
        self._undeclared = RowDecoder({}, self._placeholder, None)

    def decode(self, record: Record) -> Message:
        """The message that ``record`` holds; :class:`Undecodable` when it holds none."""
        topic = record.headers.get(CAPTURE_TOPIC, record.topic)
        try:
            if CAPTURE_UNPARSABLE in record.headers:
                raise ValueError(f"the line of the capture is broken: {record.headers[CAPTURE_UNPARSABLE]}")
            if record.value is None:
                return SideMessage("tombstone", topic)
            return self._message(record, topic, self._values.parse(topic, record.value))
        except Foreign as error:
            raise Undecodable(_what(record), str(error), error.fix) from None
        except ValueError as error:
            raise Undecodable(
                _what(record),
                str(error)[:MAX_REASON],
                "look at its bytes with `headwater dlq show`, and at the converters of the connector: "
                "key and value must be written by org.apache.kafka.connect.json.JsonConverter",
            ) from None

    def _message(self, record: Record, topic: str, parsed: Parsed) -> Message:
        payload = parsed.payload
        if payload is None:
            return SideMessage("tombstone", topic)
        if type(payload) is not dict or "op" not in payload:
            kind = side_kind(payload)
            if kind is None:
                raise foreign(topic, record.headers, payload)
            return SideMessage(kind, topic)
        if payload["op"] == "m":
            return SideMessage("message", topic)
        return self._change(record, topic, parsed)

    def _change(self, record: Record, topic: str, parsed: Parsed) -> RowMessage:
        payload, headers = parsed.payload, record.headers
        op: Op = payload["op"]
        if type(op) is not str or op not in _OPS:
            raise ValueError(f"its op is {shown(op)}, which is none of {', '.join(sorted(_OPS))}")
        source = _object(payload, "source")
        table = _table(source)
        declared = self._declared.get(table, self._undeclared)
        of_row = of_after = declared
        if parsed.layout is not None:
            of_row, of_after = parsed.layout.parts.get("before", declared), parsed.layout.parts.get("after", declared)
        key, of_key = self._key(record, topic, declared)
        old_key, new_key = _moved(headers, OLD_KEY, of_key), _moved(headers, NEW_KEY, of_key)
        before, after = payload.get("before"), payload.get("after")
        _check_sides(op, before, after)
        if after is not None:
            partial = op == "u" or old_key is not None
            after = of_after.decode_changed(after, key) if partial else of_after.decode(after)
        position, transaction = _position(source, payload.get("transaction"))
        return RowMessage(
            op=op,
            table=table,
            topic=topic,
            partition=_partition(record),
            key=key,
            before=None if before is None else of_row.decode(before),
            after=after,
            position=position,
            at=_time(source),
            snapshot=_snapshot(source),
            transaction=transaction,
            old_key=old_key,
            new_key=new_key,
            columns=of_after.columns,
            key_columns=of_key.columns,
        )

    def _key(self, record: Record, topic: str, declared: RowDecoder) -> tuple[Row | None, RowDecoder]:
        """The key, and how its kind is decoded."""
        if record.key is None:
            return None, declared
        try:
            layout, payload = self._keys.parse(topic, record.key)
            of_key = declared if layout is None else layout.whole
            return (None if payload is None else of_key.decode(payload)), of_key
        except ValueError as error:
            raise ValueError(f"its key: {error}") from None


def _what(record: Record) -> str:
    return f"the message {record.place} is no change that Debezium wrote"


def _object(payload: Mapping[str, Any], name: str) -> dict[str, Any]:
    part = payload.get(name)
    if type(part) is not dict:
        raise ValueError(f"its {name} is no JSON object but {type(part).__name__}")
    return part


def _table(source: Mapping[str, Any]) -> str:
    """``schema.table``; ``database.table`` where the source has no schemas (MySQL)."""
    table, schema = source.get("table"), source.get("schema")
    if schema is None:
        schema = source.get("db")
    if type(table) is not str or type(schema) is not str or not table:
        raise ValueError("its source names no table and schema")
    return f"{schema}.{table}"


def _check_sides(op: str, before: Any, after: Any) -> None:
    if op in "cru" and after is None:
        raise ValueError(f"its op is {op}, and it has no after")
    if op in "dt" and after is not None:
        raise ValueError(f"its op is {op}, and it has an after")
    if isinstance(before, str) or isinstance(after, str):
        raise Foreign(
            "its rows are text: MongoDB's connector writes documents as text",
            "headwater ingests the tables of SQL databases",
        )


def _position(source: Mapping[str, Any], transaction: Any) -> tuple[SourcePosition | None, str | None]:
    """Where it stands in the source's log, and its transaction's id."""
    order = name = None
    if transaction is not None:
        if type(transaction) is not dict:
            raise ValueError("its transaction is no JSON object")
        order, name = transaction.get("total_order"), transaction.get("id")
        if type(order) is not int or type(name) is not str:
            raise ValueError("its transaction has no id and total_order")
        name = name.partition(":")[0]  # PostgreSQL's goes on with the LSN of the change itself
    elif type(source.get("txId")) is int:
        name = str(source["txId"])
    sequence = source.get("sequence")
    if sequence is None or source.get("connector") != "postgresql":
        return None, name
    return SourcePosition(*_sequence(sequence), order), name


def _sequence(sequence: Any) -> tuple[int, int]:
    try:
        commit, lsn = orjson.loads(sequence)
        return int(lsn) if commit is None else int(commit), int(lsn)
    except (ValueError, TypeError):
        raise ValueError(f'its source.sequence is not like ["1","2"]: {shown(sequence)}') from None


def _time(source: Mapping[str, Any]) -> datetime | None:
    micros = source.get("ts_us")
    if micros is None:
        millis = source.get("ts_ms")
        if millis is None:
            return None
        micros = millis * 1000 if type(millis) is int else millis
    if type(micros) is not int:
        raise ValueError("the time of its source is no number")
    try:
        return instant_of(micros)
    except OverflowError:
        raise ValueError(f"the time of its source is out of bounds: {micros}") from None


def _snapshot(source: Mapping[str, Any]) -> str:
    snapshot = source.get("snapshot")
    if type(snapshot) is str:
        return snapshot
    if snapshot is None or type(snapshot) is bool:
        return _SNAPSHOTS[snapshot]
    raise ValueError("its source.snapshot is no text")


def _partition(record: Record) -> int:
    text = record.headers.get(CAPTURE_PARTITION)
    return record.partition if text is None else int(text)


def _moved(headers: Mapping[str, str], name: str, of_key: RowDecoder) -> Row | None:
    """The other key of a row whose primary key changed."""
    text = headers.get(name)
    if text is None:
        return None
    try:
        value = orjson.loads(text)
        if type(value) is dict and value.keys() == {"schema", "payload"} and type(value["schema"]) is dict:
            value = value["payload"]
        return of_key.decode(value)
    except ValueError as error:
        raise ValueError(f"its header {name}: {error}") from None
