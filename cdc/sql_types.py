"""The SQL column for each type of a source column: it gives back the same Python value.

Dates and times are text on SQLite (ISO 8601, which sorts as they do between the years 0 and 9999) and native
on PostgreSQL, which also takes what Python cannot hold (infinity, years before Christ, 24:00); psycopg
refuses to read those back, so select them as text. Lists and objects are JSON text on both.
"""

from __future__ import annotations

import re
from typing import Any

import orjson
from sqlalchemy import (
    BigInteger,
    Boolean,
    Date,
    DateTime,
    Dialect,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    Time,
    Uuid,
)
from sqlalchemy.types import TypeDecorator, TypeEngine

from cdc import types
from cdc.types import NANOS, Type
from eventstore.errors import Refused
from eventstore.sql.columns import ExactFloat, ExactNumeric


def sql_type(type_: Type) -> TypeEngine[Any]:
    """A column type that keeps the values of ``type_`` exactly."""
    match type_:
        case types.Boolean():
            return Boolean()
        case types.Integer(bits=bits):
            return SmallInteger() if bits < 32 else Integer() if bits == 32 else BigInteger()
        case types.Year():
            return Integer()
        case types.Float():
            return ExactFloat()
        case types.Decimal(scale=scale, precision=precision) if precision is not None:
            return ExactNumeric(precision, scale)
        case types.Decimal() | types.VariableDecimal() | types.DecimalText():
            return ExactNumeric()
        case types.Bytes():
            return LargeBinary()
        case types.Uuid():
            return Uuid()
        case types.MicroDuration():
            return Micros()
        case types.Array() | types.Map() | types.Pairs() | types.Struct():
            return JsonText(type_)
        case _ if type(type_) in _NATIVE:
            return Temporal(type_)
    return Text()


_NATIVE: dict[type[Type], TypeEngine[Any]] = {
    types.Date: Date(),
    types.IsoDate: Date(),
    types.Time: Time(),
    types.IsoTime: Time(),
    types.ZonedTime: Time(timezone=True),
    types.Timestamp: DateTime(),
    types.IsoTimestamp: DateTime(),
    types.ZonedTimestamp: DateTime(timezone=True),
}
_YEAR = re.compile(r"([+-]?)(\d{4,})(-.*)", re.DOTALL)
_NANOS = re.compile(r"\.\d{7,}")


class Temporal(TypeDecorator[Any]):
    """A date or time of a source column, or the text that stands for one."""

    impl = Text
    cache_ok = True

    def __init__(self, of: Type) -> None:
        super().__init__()
        self.of = of

    @property
    def _as_text(self) -> bool:
        """PostgreSQL's times end at microseconds."""
        return getattr(self.of, "units", 0) == NANOS

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        native = dialect.name != "sqlite" and not self._as_text
        return dialect.type_descriptor(_NATIVE[type(self.of)] if native else Text())

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        if value is None:
            return None
        if dialect.name == "sqlite" or self._as_text:
            return self.of.to_json(value)
        return postgres_text(value) if isinstance(value, str) else value

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return self.of.from_json(value) if isinstance(value, str) else value


def postgres_text(text: str) -> str:
    """A date or time that Python cannot hold, as PostgreSQL writes it; :class:`Refused` when it cannot either."""
    if _NANOS.search(text):
        raise Refused(
            f"{text} does not fit a column of PostgreSQL",
            "its times end at microseconds, and it would be rounded",
            "mirror the table into a model of your own, with a Text column",
        )
    parts = _YEAR.fullmatch(text)
    if parts is None:
        return text
    sign, year, rest = parts.groups()
    return f"{int(year) + 1:04d}{rest} BC" if sign == "-" or int(year) == 0 else f"{year}{rest}"


class Micros(TypeDecorator[Any]):
    """A duration, as an integer of microseconds."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else types.MicroDuration().to_json(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else types.MicroDuration().decode(value)


class JsonText(TypeDecorator[Any]):
    """A list or an object of a source column, as JSON: ``["1.10", null]`` for an array of decimals."""

    impl = Text
    cache_ok = True

    def __init__(self, of: Type) -> None:
        super().__init__()
        self.of = of

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else orjson.dumps(self.of.to_json(value)).decode()

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else self.of.from_json(orjson.loads(value))
