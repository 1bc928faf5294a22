"""Column types that give back exactly what was stored, on SQLite as on PostgreSQL.

SQLAlchemy's own types lose silently: on SQLite a Decimal goes through a float, an aware time drops its
offset, NaN becomes NULL; on PostgreSQL a Decimal is rounded to the column's scale. These keep the value or
refuse it. Each works on both dialects, so a model may carry it; on PostgreSQL the column is the usual one.

========================  =====================  ==================================================
type                      on PostgreSQL          on SQLite
========================  =====================  ==================================================
``ExactNumeric(≤15, s)``  NUMERIC(p, s)          DOUBLE, which holds 15 decimal digits exactly
``ExactNumeric(…)``       NUMERIC                TEXT that sorts and compares as numbers (a collation)
``AwareDateTime()``       TIMESTAMPTZ            TEXT, ISO 8601 in UTC with six digits
``LocalDateTime()``       TIMESTAMP              DATETIME, as SQLAlchemy keeps it
``ExactFloat()``          DOUBLE PRECISION       DOUBLE, with NaN as the text ``NaN``
========================  =====================  ==================================================

Arithmetic in SQL on a wide number (``total * 2 > 10``) needs a cast to a float on SQLite: it is text there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Context, Decimal, InvalidOperation
from typing import Any

from sqlalchemy import DateTime, Dialect, Double, Float, Numeric, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

from eventstore.errors import Refused

DECIMAL_COLLATION = "hw_decimal"
_FLOAT_DIGITS = 15  # any decimal of so many digits survives a double. Source: IEEE 754, DBL_DIG
_LARGEST_EXPONENT = 131_072  # digits before the point of a numeric. Source: PostgreSQL, numeric types
_EXACT = Context(prec=200_000)


class ExactNumeric(TypeDecorator[Decimal]):
    """A Decimal of ``precision`` digits, ``scale`` of them after the point; without them, any Decimal.

    A value that does not fit is :class:`~eventstore.errors.Refused`, not rounded. Integers are taken as they
    are, floats as they print. ``checked`` False: an operand of a comparison, which need not fit.
    """

    impl = Numeric
    cache_ok = True

    def __init__(self, precision: int | None = None, scale: int | None = None, checked: bool = True) -> None:
        super().__init__(precision, scale)
        self.precision, self.scale, self.checked = precision, scale, checked
        self._unit = Decimal(1).scaleb(-(scale or 0)) if precision is not None else None
        self._limit = Decimal(1).scaleb(precision - (scale or 0)) if precision is not None else None
        self._format = f".{scale or 0}f"

    @property
    def _narrow(self) -> bool:
        return self.precision is not None and self.precision <= _FLOAT_DIGITS

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name != "sqlite":
            return dialect.type_descriptor(Numeric(self.precision, self.scale))
        return dialect.type_descriptor(Double() if self._narrow else Text(collation=DECIMAL_COLLATION))

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any]:
        # Not through the implementation's processor, which would make a float of a text again.
        accept = self._fitting if self.checked else _decimal
        if dialect.name != "sqlite":
            return lambda value: None if value is None else accept(value)
        write = _as_double if self._narrow else _as_text
        return lambda value: None if value is None else write(accept(value))

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        if value is None or type(value) is Decimal:
            return value
        if type(value) is str:
            return Decimal(value)
        return Decimal(format(value, self._format) if self._narrow else repr(value))

    def coerce_compared_value(self, op: Any, value: Any) -> TypeEngine[Any]:
        if isinstance(value, (Decimal, int, float)):
            return ExactNumeric(self.precision, self.scale, checked=False)
        return self

    def _fitting(self, value: Any) -> Decimal:
        number = _decimal(value)
        if self._unit is None or self._limit is None:
            if number.is_finite() and abs(number.adjusted()) >= _LARGEST_EXPONENT:
                raise Refused(f"a number of {abs(number.adjusted())} digits does not fit any column")
            return number
        if number.is_nan():
            return number
        if number.is_finite() and number.copy_abs() < self._limit:
            fitting = number.quantize(self._unit, context=_EXACT)
            if fitting == number:
                return fitting
        raise Refused(
            f"{number} does not fit a column Numeric({self.precision}, {self.scale or 0})",
            "it would be rounded, or overflow, and not be read back equal",
            "round it where it is computed, or widen the column",
        )


class AwareDateTime(TypeDecorator[datetime]):
    """A time with its offset; read back in UTC on SQLite, in the connection's time zone on PostgreSQL."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else DateTime(timezone=True))

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        if value is None:
            return None
        if value.tzinfo is None:
            raise Refused(
                f"{value} has no time zone, and its column has one",
                "which instant it means cannot be known",
                "give it one, as in datetime.now(UTC), or declare the column DateTime()",
            )
        if dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).isoformat(timespec="microseconds")

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        return datetime.fromisoformat(value) if isinstance(value, str) else value


class LocalDateTime(TypeDecorator[datetime]):
    """A time without an offset, as a clock on the wall shows it."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        if value is not None and value.tzinfo is not None:
            raise Refused(
                f"{value} has a time zone, and its column has none",
                "the zone would be lost, and it would not be read back equal",
                "declare the column DateTime(timezone=True)",
            )
        return value


class ExactFloat(TypeDecorator[float]):
    """A double, NaN and the infinities included."""

    impl = Double
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any] | None:
        if dialect.name != "sqlite":
            return None
        return lambda value: "NaN" if value != value else value

    def process_result_value(self, value: Any, dialect: Dialect) -> float | None:
        return None if value is None else float(value)


def exact(type_: TypeEngine[Any]) -> TypeEngine[Any]:
    """The type that keeps exactly what ``type_`` is declared for; ``type_`` itself when it does so already."""
    if isinstance(type_, TypeDecorator) or type_._variant_mapping:
        return type_
    if isinstance(type_, Numeric) and type_.asdecimal:
        return ExactNumeric(type_.precision, type_.scale)
    if isinstance(type_, Float) and not type_.asdecimal:
        return ExactFloat()
    if isinstance(type_, DateTime):
        return AwareDateTime() if type_.timezone else LocalDateTime()
    return type_


def add_collations(connection: sqlite3.Connection) -> None:
    """Teach a connection of sqlite3 to sort and compare wide decimals; without it, it refuses to."""
    connection.create_collation(DECIMAL_COLLATION, compare_decimals)


def compare_decimals(a: str, b: str) -> int:
    """-1, 0 or 1 as the numbers written ``a`` and ``b`` compare; NaN is the greatest, as on PostgreSQL."""
    try:
        x, y = Decimal(a), Decimal(b)
    except InvalidOperation:
        return (a > b) - (a < b)
    if x.is_nan() or y.is_nan():
        return x.is_nan() - y.is_nan()
    return (x > y) - (x < y)


def _as_double(number: Decimal) -> float | str:
    return str(number) if number.is_nan() else float(number)


def _as_text(number: Decimal) -> str:
    return format(number, "f") if number.is_finite() else str(number)


def _decimal(value: Any) -> Decimal:
    if type(value) is Decimal:
        return value
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, (int, Decimal)):
        return Decimal(value)
    raise Refused(
        f"{value!r} is no number, and its column is a Numeric",
        "a Numeric column holds Decimals",
        "make a Decimal of it",
    )
