"""Bytes to payload and schema: JSON from outside, bounded, with Kafka Connect's wrapping or without.

A message with a schema is three quarters schema, the same bytes for every message of a table. The bytes up
to its payload are remembered for each topic: a value that begins with them and ends with ``}`` around one
JSON value is parsed from there on. That is the same document: what was remembered holds a schema that was
parsed whole, and the rest must be one complete value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from cdc.connect import columns_of, type_of
from cdc.placeholder import Placeholder
from cdc.row import RowDecoder, decoder_of

DEFAULT_MAX_BYTES = 16 * 1024 * 1024
ROWS = ("before", "after")
_OPENING, _MIDDLE = b'{"schema":', b',"payload":'
_REMEMBERED_BYTES = 256 * 1024
_REMEMBERED_TOPICS = 1_000
_TRIES = 4


class Layout(NamedTuple):
    """What a schema says: how to decode the struct as a row (a key is one), and its parts that are rows."""

    whole: RowDecoder
    parts: Mapping[str, RowDecoder]


class Parsed(NamedTuple):
    """``layout`` is None for a payload that came without a schema, or with one of a single value."""

    layout: Layout | None
    payload: Any


class Parser:
    """Parses keys, or values, of many messages. ValueError says what is wrong with one.

    JSON nested more than 1,024 deep is refused by the parser of JSON itself; of a name that an object has
    twice the last one counts.
    """

    def __init__(self, placeholder: Placeholder, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self._placeholder, self._max_bytes = placeholder, max_bytes
        self._last: dict[str, tuple[bytes, Layout | None]] = {}

    def parse(self, topic: str, data: bytes) -> Parsed:
        if len(data) > self._max_bytes:
            raise ValueError(f"it has {len(data):,} bytes, and {self._max_bytes:,} are the most that is decoded")
        last = self._last.get(topic)
        if last is not None and data.startswith(last[0]) and data.endswith(b"}"):
            try:
                return Parsed(last[1], orjson.loads(memoryview(data)[len(last[0]) : -1]))
            except orjson.JSONDecodeError:
                pass  # more members than the payload, or no JSON: said below
        return self._parse_whole(topic, data)

    def _parse_whole(self, topic: str, data: bytes) -> Parsed:
        document = orjson.loads(data)
        if type(document) is not dict or document.keys() != {"schema", "payload"}:
            return Parsed(None, document)
        schema, payload = document["schema"], document["payload"]
        if schema is None:
            return Parsed(None, payload)
        if type(schema) is not dict or "type" not in schema:
            return Parsed(None, document)  # a row of columns that happen to have these names
        layout = layout_of(schema, self._placeholder)
        self._remember(topic, data, schema, layout)
        return Parsed(layout, payload)

    def _remember(self, topic: str, data: bytes, schema: Any, layout: Layout | None) -> None:
        if not data.startswith(_OPENING):
            return
        end = len(_OPENING)
        for _ in range(_TRIES):
            end = data.find(_MIDDLE, end + 1, _REMEMBERED_BYTES)
            if end < 0:
                return
            try:
                if orjson.loads(memoryview(data)[len(_OPENING) : end]) == schema:
                    break
            except orjson.JSONDecodeError:
                continue  # these words are in the schema
        else:
            return
        if len(self._last) >= _REMEMBERED_TOPICS:
            self._last.clear()
        self._last[topic] = (data[: end + len(_MIDDLE)], layout)


def layout_of(schema: Any, placeholder: Placeholder) -> Layout | None:
    """The layout of a struct's schema; None for the schema of another value, which must be one too."""
    if schema.get("type") != "struct":
        type_of(schema)
        return None
    columns = columns_of(schema)
    parts = {
        field["field"]: decoder_of(columns_of(field), placeholder)
        for field in schema["fields"]
        if field["field"] in ROWS and field["type"] == "struct"
    }
    return Layout(decoder_of(columns, placeholder), parts)
