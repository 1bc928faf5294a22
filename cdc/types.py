"""Types of columns as Debezium's schemas name them, and the Python values they decode into.

=========================================  ==========================================================
type                                       Python value
=========================================  ==========================================================
``Boolean() Integer(bits) Float(bits)``    bool, int, float (NaN and the infinities too)
``Text(kind)``                             str: text, xml, ltree, tsvector, ranges, inet, enums …
``Json()``                                 str, as the source wrote it (hstore too): JSON may say ``1e400``
``Bytes()``                                bytes (so do column types that Debezium does not know)
``Decimal(scale) VariableDecimal()``       decimal.Decimal (money too)
``DecimalText()``                          decimal.Decimal, from ``decimal.handling.mode=string``
``Date() IsoDate()``                       datetime.date
``Time(units) IsoTime()``                  datetime.time
``Timestamp(units) IsoTimestamp()``        datetime without a time zone
``ZonedTimestamp() ZonedTime()``           datetime in UTC, datetime.time with its offset
``MicroDuration() Interval()``             timedelta (lossy at the source), str ``P1Y2M3DT4H5M6.789S``
``Year() Uuid()``                          int, uuid.UUID
``Bits(length)``                           str of ``0`` and ``1``, the highest bit first
``Array(item) Map(item) Struct(fields)``   list, dict, dict (points and geometries are structs)
``Pairs(key, item)``                       list of [key, item]: a map whose keys are no text
=========================================  ==========================================================

A date or time that Python cannot hold is ISO 8601 text: see :mod:`cdc.temporal`. ``units`` is how many make
a second: 1,000, 1,000,000 (the default) or 1,000,000,000.

``decode`` takes what JSON gave and raises ValueError when it is not what the type writes; null is not
asked for. ``to_json`` and ``from_json`` are the plain form in which a list or dict is kept in one SQL column.
Source: Debezium's documentation of the PostgreSQL connector, "data type mappings".
"""

from __future__ import annotations

import decimal
from base64 import b64encode
from binascii import a2b_base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from cdc import numbers, temporal

T = TypeVar("T")
MILLIS, MICROS, NANOS = 10**3, 10**6, 10**9
_LONGEST_PADDED = 1 << 20  # bits; a length beyond it is a limit, not the width of the values


@dataclass(frozen=True, slots=True)
class Type:
    """Base of all types."""

    def decode(self, raw: Any) -> Any:
        """The Python value for what JSON gave."""
        raise NotImplementedError

    def to_json(self, value: Any) -> Any:
        """A Python value as JSON can say it, readable."""
        return value

    def from_json(self, raw: Any) -> Any:
        """What :meth:`to_json` was given."""
        return self.decode(raw)


@dataclass(frozen=True, slots=True)
class Boolean(Type):
    def decode(self, raw: Any) -> bool:
        return _of(bool, raw)


@dataclass(frozen=True, slots=True)
class Integer(Type):
    bits: int = 64

    def decode(self, raw: Any) -> int:
        return _of(int, raw)


@dataclass(frozen=True, slots=True)
class Year(Type):
    def decode(self, raw: Any) -> int:
        return _of(int, raw)


@dataclass(frozen=True, slots=True)
class Float(Type):
    bits: int = 64

    def decode(self, raw: Any) -> float:
        if type(raw) is str and raw in ("NaN", "Infinity", "-Infinity"):
            return float(raw)
        return float(raw) if type(raw) is int else _of(float, raw)

    def to_json(self, value: float) -> Any:
        if value != value:
            return "NaN"
        return str(value).replace("inf", "Infinity") if value in (float("inf"), float("-inf")) else value


@dataclass(frozen=True, slots=True)
class Text(Type):
    """``kind``: the schema's name without its package (``Xml``, ``Enum`` …); ``allowed``: an enum's values."""

    kind: str = ""
    allowed: tuple[str, ...] = ()

    def decode(self, raw: Any) -> str:
        return _of(str, raw)


@dataclass(frozen=True, slots=True)
class Json(Type):
    def decode(self, raw: Any) -> str:
        return _of(str, raw)


@dataclass(frozen=True, slots=True)
class Bytes(Type):
    def decode(self, raw: Any) -> bytes:
        return a2b_base64(_of(str, raw), strict_mode=True)

    def to_json(self, value: bytes) -> str:
        return b64encode(value).decode()


@dataclass(frozen=True, slots=True)
class Decimal(Type):
    """``scale`` digits after the point; ``precision`` in all, or None when the schema does not say."""

    scale: int
    precision: int | None = None

    def decode(self, raw: Any) -> decimal.Decimal:
        if type(raw) is str:
            return numbers.from_unscaled(raw, self.scale)
        return numbers.from_double(raw)

    def to_json(self, value: decimal.Decimal) -> str:
        return str(value)

    def from_json(self, raw: str) -> decimal.Decimal:
        return decimal.Decimal(raw)


@dataclass(frozen=True, slots=True)
class VariableDecimal(Type):
    """``numeric`` without a scale: each value brings its own."""

    def decode(self, raw: Any) -> decimal.Decimal:
        if type(raw) is not dict:
            return numbers.from_double(raw)
        scale = _of(int, raw.get("scale"))
        if abs(scale) > numbers.LARGEST_SCALE:
            raise ValueError(f"no number has a scale of {scale}")
        return numbers.from_unscaled(_of(str, raw.get("value")), scale)

    def to_json(self, value: decimal.Decimal) -> str:
        return str(value)

    def from_json(self, raw: str) -> decimal.Decimal:
        return decimal.Decimal(raw)


@dataclass(frozen=True, slots=True)
class DecimalText(Type):
    """A number as text. Only declared: a schema calls it a string."""

    def decode(self, raw: Any) -> decimal.Decimal:
        return numbers.from_text(_of(str, raw))

    def to_json(self, value: decimal.Decimal) -> str:
        return str(value)


class _AsText(Type):
    """Dates and times, whose plain form is ISO 8601."""

    __slots__ = ()

    def to_json(self, value: Any) -> str:
        return value if isinstance(value, str) else value.isoformat()


@dataclass(frozen=True, slots=True)
class Date(_AsText):
    def decode(self, raw: Any) -> Any:
        return temporal.date_of_days(_of(int, raw))

    def from_json(self, raw: str) -> Any:
        return temporal.parse_date(raw)


@dataclass(frozen=True, slots=True)
class IsoDate(_AsText):
    def decode(self, raw: Any) -> Any:
        return temporal.parse_date(_of(str, raw))


@dataclass(frozen=True, slots=True)
class Time(_AsText):
    units: int = MICROS

    def decode(self, raw: Any) -> Any:
        return temporal.time_of_day(_of(int, raw), self.units)

    def from_json(self, raw: str) -> Any:
        return temporal.parse_time(raw)


@dataclass(frozen=True, slots=True)
class IsoTime(_AsText):
    def decode(self, raw: Any) -> Any:
        return temporal.parse_time(_of(str, raw))


@dataclass(frozen=True, slots=True)
class Timestamp(_AsText):
    units: int = MICROS

    def decode(self, raw: Any) -> Any:
        return temporal.local_time(_of(int, raw), self.units)

    def from_json(self, raw: str) -> Any:
        return temporal.parse_local(raw)


@dataclass(frozen=True, slots=True)
class IsoTimestamp(_AsText):
    def decode(self, raw: Any) -> Any:
        return temporal.parse_local(_of(str, raw))


@dataclass(frozen=True, slots=True)
class ZonedTimestamp(_AsText):
    def decode(self, raw: Any) -> Any:
        return temporal.parse_zoned(_of(str, raw))


@dataclass(frozen=True, slots=True)
class ZonedTime(_AsText):
    def decode(self, raw: Any) -> Any:
        return temporal.parse_zoned_time(_of(str, raw))


@dataclass(frozen=True, slots=True)
class MicroDuration(Type):
    """Months count 30.4375 days at the source, and what is too long is cut to 292,271 years."""

    def decode(self, raw: Any) -> timedelta:
        return timedelta(microseconds=_of(int, raw))

    def to_json(self, value: timedelta) -> int:
        return value // timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Interval(Type):
    def decode(self, raw: Any) -> str:
        return _of(str, raw)


@dataclass(frozen=True, slots=True)
class Uuid(Type):
    def decode(self, raw: Any) -> UUID:
        return UUID(_of(str, raw))

    def to_json(self, value: UUID) -> str:
        return str(value)


@dataclass(frozen=True, slots=True)
class Bits(Type):
    """``bit(n)`` of more than one bit (``bit(1)`` is a Boolean) and ``bit varying``.

    A shorter ``bit varying`` is filled up to ``length``: how long it was is lost at the source. ``length``
    None, or beyond a million: as many bits as there are bytes.
    """

    length: int | None = None

    def decode(self, raw: Any) -> str:
        data = a2b_base64(_of(str, raw), strict_mode=True)
        length = self.length if self.length is not None and self.length <= _LONGEST_PADDED else len(data) * 8
        return format(int.from_bytes(data, "little"), f"0{length}b") if data or length else ""

    def from_json(self, raw: str) -> str:
        return raw


@dataclass(frozen=True, slots=True)
class Array(Type):
    """The elements of an array in more than one dimension arrive as null."""

    item: Type

    def decode(self, raw: Any) -> list[Any]:
        decode = self.item.decode
        return [None if item is None else decode(item) for item in _of(list, raw)]

    def to_json(self, value: list[Any]) -> list[Any]:
        return [None if item is None else self.item.to_json(item) for item in value]

    def from_json(self, raw: list[Any]) -> list[Any]:
        return [None if item is None else self.item.from_json(item) for item in raw]


@dataclass(frozen=True, slots=True)
class Map(Type):
    """From text to ``item``."""

    item: Type

    def decode(self, raw: Any) -> dict[str, Any]:
        decode = self.item.decode
        return {name: None if item is None else decode(item) for name, item in _of(dict, raw).items()}

    def to_json(self, value: Mapping[str, Any]) -> dict[str, Any]:
        return {name: None if item is None else self.item.to_json(item) for name, item in value.items()}

    def from_json(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        return {name: None if item is None else self.item.from_json(item) for name, item in raw.items()}


@dataclass(frozen=True, slots=True)
class Pairs(Type):
    """A map whose keys are no text, which JSON writes as a list of pairs (a sparse vector, for one)."""

    key: Type
    item: Type

    def decode(self, raw: Any) -> list[Any]:
        if any(type(pair) is not list or len(pair) != 2 or pair[0] is None for pair in _of(list, raw)):
            raise ValueError("a list of pairs expected")
        return [[self.key.decode(key), None if item is None else self.item.decode(item)] for key, item in raw]

    def to_json(self, value: list[Any]) -> list[Any]:
        return [[self.key.to_json(key), None if item is None else self.item.to_json(item)] for key, item in value]

    def from_json(self, raw: list[Any]) -> list[Any]:
        return [[self.key.from_json(key), None if item is None else self.item.from_json(item)] for key, item in raw]


@dataclass(frozen=True, slots=True)
class Struct(Type):
    """Named fields. ``kind``: the schema's name without its package (``Point``, ``Geometry`` …)."""

    fields: tuple[tuple[str, Type], ...]
    kind: str = ""

    def decode(self, raw: Any) -> dict[str, Any]:
        _of(dict, raw)
        return {name: None if raw.get(name) is None else kind.decode(raw[name]) for name, kind in self.fields}

    def to_json(self, value: Mapping[str, Any]) -> dict[str, Any]:
        return {name: None if value[name] is None else kind.to_json(value[name]) for name, kind in self.fields}

    def from_json(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        return {name: None if raw[name] is None else kind.from_json(raw[name]) for name, kind in self.fields}


def _of(kind: type[T], raw: Any) -> T:
    if type(raw) is kind:
        return raw
    raise ValueError(f"{kind.__name__} expected, got {shown(raw)}")


def shown(raw: Any) -> str:
    """A value from outside, in the words of an error."""
    # Not the content of a list: it may be nested more deeply than Python can print.
    return f"{type(raw).__name__} {str(raw)[:80]!r}" if isinstance(raw, (str, int, float)) else type(raw).__name__
