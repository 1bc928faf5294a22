"""Rows as text and back without loss, and the text that names a row by its key. Pure.

JSON, where what JSON cannot say is an object of one member that names its type::

    {"price": {"decimal": "1.50"}, "born": {"date": "2026-02-28"}, "tags": ["a", null]}

so a mapping that is a value of its own is written ``{"map": {…}}``.
"""

from __future__ import annotations

import hashlib
import math
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson

from cdc.message import UNCHANGED, Absent, Row

_MICROSECOND = timedelta(microseconds=1)
_INTEGER_LIMIT = 1 << 63


def encode_row(row: Row) -> str:
    """``row`` as text; :func:`decode_row` gives it back equal."""
    return orjson.dumps({name: _plain(value) for name, value in row.items()}).decode()


def decode_row(text: str) -> dict[str, Any]:
    return {name: _value(value) for name, value in orjson.loads(text).items()}


def _plain(value: Any) -> Any:
    kind = type(value)
    if value is None or kind is bool or kind is str:
        return value if kind is not str else _text(value)
    if kind is int:
        return value if -_INTEGER_LIMIT <= value < _INTEGER_LIMIT else {"int": str(value)}
    if kind is float:
        return value if math.isfinite(value) else {"float": str(value)}
    if kind is list:
        return [_plain(item) for item in value]
    writer = _WRITERS.get(kind)
    if writer is None:
        raise TypeError(f"a row cannot hold a {kind.__name__}: {value!r}")
    tag, write = writer
    return {tag: write(value)}


def _text(value: str) -> Any:
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON text may hold and UTF-8 may not
        return {"text": b64encode(value.encode("utf-8", "surrogatepass")).decode()}
    return value


def _value(value: Any) -> Any:
    if type(value) is dict:
        [(tag, content)] = value.items()
        return _READERS[tag](content)
    if type(value) is list:
        return [_value(item) for item in value]
    return value


_WRITERS: dict[type, tuple[str, Callable[[Any], Any]]] = {
    Decimal: ("decimal", str),
    datetime: ("datetime", datetime.isoformat),
    date: ("date", date.isoformat),
    time: ("time", time.isoformat),
    timedelta: ("microseconds", lambda value: value // _MICROSECOND),
    UUID: ("uuid", str),
    bytes: ("bytes", lambda value: b64encode(value).decode()),
    dict: ("map", lambda value: {str(name): _plain(item) for name, item in value.items()}),
    tuple: ("tuple", lambda value: [_plain(item) for item in value]),
    Absent: ("absent", lambda value: value.value),
}
_READERS: dict[str, Callable[[Any], Any]] = {
    "int": int,
    "float": float,
    "text": lambda value: b64decode(value).decode("utf-8", "surrogatepass"),
    "decimal": Decimal,
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "microseconds": lambda value: timedelta(microseconds=value),
    "uuid": UUID,
    "bytes": b64decode,
    "map": lambda value: {name: _value(item) for name, item in value.items()},
    "tuple": lambda value: tuple(_value(item) for item in value),
    "absent": lambda value: UNCHANGED,
}


def key_text(key: Row) -> str:
    """``{"sku": "a", "warehouse": "b"}`` → ``"a,b"``: what names a row of its table, to people and in SQL.

    Two keys of a table have the same text only if they are equal.
    """
    parts = [_part(value) for value in key.values()]
    if len(parts) == 1:
        return parts[0]
    return ",".join(part.replace("\\", "\\\\").replace(",", "\\,") for part in parts)


def _part(value: Any) -> str:
    if type(value) is str:
        return value.replace("\x00", "\\0").encode("utf-8", "backslashreplace").decode()
    if type(value) is Decimal and value.is_finite():
        return format(value.normalize(), "f")
    if type(value) is datetime and value.tzinfo is not None:
        return value.astimezone(UTC).isoformat()
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if type(value) is bytes:
        return "\\x" + value.hex()
    if value is None or isinstance(value, (int, float, Decimal, UUID)):
        return str(value)
    return orjson.dumps(_plain(value)).decode()


def row_identity(row: Mapping[str, Any]) -> str:
    """What names a row of a table without a key: equal rows have the same. Columns count in any order."""
    ordered = orjson.dumps({name: _plain(value) for name, value in row.items()}, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(ordered).hexdigest()
