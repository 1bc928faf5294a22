"""What a column's values may be in memory, so that a row is the same whether it was kept or read again."""

from __future__ import annotations

import datetime as dt
import enum
import math
import uuid
from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass
from decimal import Decimal
from typing import Any, NamedTuple

import orjson
from sqlalchemy import JSON, Boolean, Column, Date, Dialect, Enum, Integer, Interval, LargeBinary, String, Time, Uuid
from sqlalchemy.dialects import postgresql

from eventstore.errors import HandlingError, Refused
from eventstore.sql.columns import AwareDateTime, ExactFloat, ExactNumeric, LocalDateTime

_POSTGRES: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]


class Values(NamedTuple):
    """How values of one column are settled after an event.

    ``kind``: what they are exactly (None: not known, anything); ``convert`` makes one of a value of another
    class, or refuses it; ``always``: also to be called with values of that class; ``mutable``: they may be
    changed in place, so held ones are copied before a handler sees them.
    """

    kind: type | None
    convert: Callable[[Any], Any]
    always: bool = False
    mutable: bool = False


def values_of(column: Column[Any], where: str) -> Values:
    """What ``column`` holds; ``where`` is how errors call it."""
    type_ = column.type
    if isinstance(type_, ExactNumeric):
        fitting = type_.bind_processor(_POSTGRES)
        return Values(Decimal, _named(where, "a Decimal", lambda value: _spelt_out(fitting(value))), always=True)
    if isinstance(type_, AwareDateTime):
        return Values(dt.datetime, _named(where, "a time with a time zone", _in_utc), always=True)
    if isinstance(type_, LocalDateTime):
        return Values(dt.datetime, _named(where, "a time without a time zone", _without_zone), always=True)
    if isinstance(type_, JSON):
        return Values(None, _named(where, "what JSON can say", _through_json), always=True, mutable=True)
    if isinstance(type_, ExactFloat):
        return Values(float, _named(where, "a float", _as_float))
    if isinstance(type_, Enum) and type_.enum_class is not None:
        return Values(type_.enum_class, _named(where, f"a {type_.enum_class.__name__}", _refuse))
    for sql, kind, convert in _SIMPLE:
        if isinstance(type_, sql):
            return Values(kind, _named(where, f"a {kind.__name__}", convert))
    return Values(None, lambda value: value, mutable=True)


def key_from_text(column: Column[Any], text: str) -> Any:
    """The key of a stream as a value of a primary key, which may be an integer or a UUID; otherwise as it is."""
    try:
        if isinstance(column.type, Integer):
            return int(text)
        if isinstance(column.type, Uuid):
            return uuid.UUID(text)
    except ValueError as error:
        raise HandlingError(
            f"the stream's key {text!r} is no {column.name}",
            f"the primary key {column.name} is a {column.type!r}: {error}",
            "give the handler key=, or make the primary key a str",
        ) from None
    return text


class _Unfit(Exception):
    """A value that its column cannot hold."""


def _named(where: str, holds: str, convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def converted(value: Any) -> Any:
        try:
            return convert(value)
        except _Unfit as error:
            why = f"the column holds {holds}{f': {error}' if str(error) else ''}"
            raise HandlingError(
                f"{where} was set to {value!r}, a {type(value).__name__}", why, "mend the handler that sets it"
            ) from None
        except Refused as error:
            raise HandlingError(f"{where}: {error.what}", error.why, error.fix) from None

    return converted


def _refuse(value: Any) -> Any:
    raise _Unfit


def _spelt_out(value: Decimal) -> Decimal:
    """100 and 0 instead of 1E+2 and -0, which a database does not keep."""
    if not value:
        value = value.copy_abs()
    exponent = value.as_tuple().exponent
    return Decimal(format(value, "f")) if isinstance(exponent, int) and exponent > 0 else value


def _in_utc(value: Any) -> dt.datetime:
    if not isinstance(value, dt.datetime):
        raise _Unfit
    if value.tzinfo is dt.UTC:
        return value
    if value.tzinfo is None:
        raise _Unfit("which instant a time without one means cannot be known")
    return value.astimezone(dt.UTC)


def _without_zone(value: Any) -> dt.datetime:
    if not isinstance(value, dt.datetime):
        raise _Unfit
    if value.tzinfo is not None:
        raise _Unfit("the zone would be lost")
    return value


def _through_json(value: Any) -> Any:
    """As it will be read: tuples are lists then, and nothing is shared with the event."""
    try:
        text = orjson.dumps(value)
    except TypeError as error:
        raise _Unfit(str(error)) from None
    if b"null" in text and (number := _not_finite(value)) is not None:
        raise _Unfit(f"it has no {number}, and null is another value")
    return orjson.loads(text)


def _not_finite(value: Any) -> float | None:
    """A NaN or an infinity in what JSON is made of: it would be written as null."""
    if isinstance(value, float):
        return None if math.isfinite(value) else value
    if isinstance(value, enum.Enum):
        return _not_finite(value.value)
    parts: Iterable[Any] = ()
    if isinstance(value, dict):
        parts = value.values()
    elif isinstance(value, (list, tuple)):
        parts = value
    elif is_dataclass(value):
        parts = (getattr(value, member.name) for member in fields(value))
    return next((found for part in parts if (found := _not_finite(part)) is not None), None)


def _as_float(value: Any) -> float:
    if not isinstance(value, (int, float, Decimal)):
        raise _Unfit
    return float(value)


def _as_int(value: Any) -> int:
    if not isinstance(value, int):
        raise _Unfit
    return int(value)


def _as_text(value: Any) -> str:
    if not isinstance(value, str):
        raise _Unfit
    return "".join([value])  # of an enum of strings its value, not its name


def _as_bool(value: Any) -> bool:
    if value not in (0, 1):
        raise _Unfit
    return bool(value)


def _as_bytes(value: Any) -> bytes:
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise _Unfit
    return bytes(value)


_SIMPLE: tuple[tuple[type[Any], type, Callable[[Any], Any]], ...] = (
    (Boolean, bool, _as_bool),
    (Integer, int, _as_int),
    (String, str, _as_text),
    (Date, dt.date, _refuse),
    (Time, dt.time, _refuse),
    (Interval, dt.timedelta, _refuse),
    (LargeBinary, bytes, _as_bytes),
    (Uuid, uuid.UUID, _refuse),
)
