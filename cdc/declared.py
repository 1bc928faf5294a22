"""Types of columns for messages without a schema, taken from a SQLAlchemy model or table of the source."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ARRAY,
    JSON,
    Boolean,
    Date,
    DateTime,
    Float,
    Integer,
    Interval,
    LargeBinary,
    Numeric,
    SmallInteger,
    String,
    Table,
    Time,
    Uuid,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

from cdc import types
from cdc.types import MICROS, MILLIS, Type
from eventstore.errors import DeclarationError
from eventstore.sql.columns import AwareDateTime, ExactFloat, ExactNumeric, LocalDateTime


def declared_from(source: Table | type[Any]) -> dict[str, Type]:
    """``{column: type}`` for a table, or a mapped class, declared as the source database has it.

    The types are those that the PostgreSQL connector uses by default (``decimal.handling.mode=precise``,
    ``time.precision.mode=adaptive``, ``interval.handling.mode=numeric``). A column whose type says nothing
    about its encoding is left out: it stays as JSON has it.
    """
    table = getattr(source, "__table__", source)
    if not isinstance(table, Table):
        raise DeclarationError(
            f"{source!r} is no table",
            "types are taken from a SQLAlchemy Table or mapped class",
            'declare them one by one: {"price": Decimal(2), …}',
        )
    found = {column.name: type_of(column.type) for column in table.columns}
    return {name: type_ for name, type_ in found.items() if type_ is not None}


def type_of(sql: TypeEngine[Any]) -> Type | None:
    """How the PostgreSQL connector writes a column of this type; None when that cannot be told."""
    match sql:
        case ExactNumeric() | Numeric():
            return types.VariableDecimal() if sql.precision is None else types.Decimal(sql.scale or 0, sql.precision)
        case AwareDateTime():
            return types.ZonedTimestamp()
        case LocalDateTime():
            return types.Timestamp(MICROS)
        case DateTime():
            return types.ZonedTimestamp() if sql.timezone else types.Timestamp(_units(sql))
        case Time():
            return types.ZonedTime() if sql.timezone else types.Time(_units(sql))
        case ARRAY() | postgresql.ARRAY():
            item = type_of(sql.item_type)
            return None if item is None else types.Array(item)
        case postgresql.BIT():
            single = not sql.varying and sql.length in (None, 1)
            return types.Boolean() if single else types.Bits(sql.length)
        case SmallInteger():
            return types.Integer(16)
    return next((type_ for kinds, type_ in _SIMPLE if isinstance(sql, kinds)), None)


def _units(sql: TypeEngine[Any]) -> int:
    """Adaptive precision: up to three digits of a second are milliseconds."""
    precision = getattr(sql, "precision", None)
    return MILLIS if precision is not None and precision <= 3 else MICROS


_SIMPLE: tuple[tuple[tuple[type[Any], ...], Type], ...] = (
    ((Boolean,), types.Boolean()),
    ((Integer, postgresql.OID), types.Integer()),
    ((Float, ExactFloat), types.Float()),
    ((Date,), types.Date()),
    ((Interval, postgresql.INTERVAL), types.MicroDuration()),
    ((LargeBinary,), types.Bytes()),
    ((Uuid,), types.Uuid()),
    ((JSON, postgresql.HSTORE), types.Json()),
    ((postgresql.MONEY,), types.Decimal(2)),
    ((String, postgresql.INET, postgresql.CIDR, postgresql.MACADDR, postgresql.MACADDR8), types.Text()),
    ((postgresql.TSVECTOR,), types.Text("Tsvector")),
    ((postgresql.INT4RANGE, postgresql.INT8RANGE, postgresql.NUMRANGE), types.Text()),
    ((postgresql.DATERANGE, postgresql.TSRANGE, postgresql.TSTZRANGE), types.Text()),
)
