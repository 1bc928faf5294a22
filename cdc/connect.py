"""Kafka Connect's schemas, as its JsonConverter writes them beside a payload: which type each column has.

Source: Kafka Connect's JsonSchema; Debezium's documentation of the connectors, "data type mappings".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cdc import types
from cdc.message import Column
from cdc.numbers import LARGEST_SCALE
from cdc.types import MICROS, MILLIS, NANOS, Type

MAX_DEPTH = 32
"""How deeply a schema may be nested: a table's columns are two levels below its envelope."""

_PLAIN: dict[str, Type] = {
    "boolean": types.Boolean(),
    "int8": types.Integer(8),
    "int16": types.Integer(16),
    "int32": types.Integer(32),
    "int64": types.Integer(64),
    "float": types.Float(32),
    "double": types.Float(64),
    "string": types.Text(),
    "bytes": types.Bytes(),
}


def columns_of(schema: Any, depth: int = 0) -> tuple[Column, ...]:
    """The fields of a struct. ValueError when ``schema`` is not one, or cannot be understood."""
    if _part(schema, "type", str) != "struct":
        raise ValueError(f"the schema of a row is a struct, not {schema['type']!r}")
    columns = []
    for field in _part(schema, "fields", list):
        name = _part(field, "field", str)
        columns.append(Column(name, type_of(field, depth + 1), field.get("optional") is True))
    if len({column.name for column in columns}) < len(columns):
        raise ValueError("the schema names a column twice")
    return tuple(columns)


def type_of(schema: Any, depth: int = 0) -> Type:
    """The type that ``schema`` describes; a logical name that is not known means the type it is built on."""
    if depth > MAX_DEPTH:
        raise ValueError(f"the schema is nested more than {MAX_DEPTH} deep")
    base = _part(schema, "type", str)
    name = schema.get("name")
    logical = _LOGICAL.get((name, base)) if isinstance(name, str) else None
    if logical is not None:
        parameters = schema.get("parameters")
        return logical(parameters if isinstance(parameters, dict) else {})
    if base in _PLAIN:
        return _PLAIN[base]
    if base == "array":
        return types.Array(type_of(schema.get("items"), depth + 1))
    if base == "map":
        return _map(schema, depth)
    if base == "struct":
        fields = tuple((column.name, column.type) for column in columns_of(schema, depth))
        return types.Struct(fields, name.rpartition(".")[2] if isinstance(name, str) else "")
    raise ValueError(f"the schema has a type {base[:80]!r}, which Kafka Connect does not have")


def _map(schema: Mapping[str, Any], depth: int) -> Type:
    key, value = type_of(schema.get("keys"), depth + 1), type_of(schema.get("values"), depth + 1)
    if isinstance(key, types.Text):
        return types.Map(value)
    return types.Pairs(key, value)


def _decimal(parameters: Mapping[str, Any]) -> Type:
    precision = parameters.get("connect.decimal.precision")
    return types.Decimal(_number(parameters.get("scale")), None if precision is None else _number(precision))


def _bits(parameters: Mapping[str, Any]) -> Type:
    length = parameters.get("length")
    return types.Bits(None if length is None else _number(length, 1 << 31))


def _enum(kind: str) -> Callable[[Mapping[str, Any]], Type]:
    def make(parameters: Mapping[str, Any]) -> Type:
        allowed = parameters.get("allowed")
        return types.Text(kind, split_allowed(allowed) if isinstance(allowed, str) else ())

    return make


def split_allowed(text: str) -> tuple[str, ...]:
    """The values of an enum, which are separated by commas; a comma of a value is written ``\\,``."""
    values, current, escaped = [], "", False
    for character in text:
        if escaped or character not in "\\,":
            current += character if not escaped or character in "\\," else "\\" + character
            escaped = False
        elif character == "\\":
            escaped = True
        else:
            values.append(current)
            current = ""
    return (*values, current)


def _number(text: Any, largest: int = LARGEST_SCALE) -> int:
    """Parameters are text."""
    if not isinstance(text, (str, int)) or len(str(text)) > 12:
        raise ValueError("a parameter of the schema is no number")
    number = int(text)
    if abs(number) > largest:
        raise ValueError(f"a parameter of the schema is {number}, and none is above {largest}")
    return number


def _part(schema: Any, name: str, kind: type) -> Any:
    part = schema.get(name) if isinstance(schema, dict) else None
    if not isinstance(part, kind):
        raise ValueError(f"a part of the schema has no {name!r}, or one that is no {kind.__name__}")
    return part


def _always(type_: Type) -> Callable[[Mapping[str, Any]], Type]:
    return lambda parameters: type_


_TIME, _DATA, _CONNECT = "io.debezium.time.", "io.debezium.data.", "org.apache.kafka.connect.data."
_LOGICAL: dict[tuple[str, str], Callable[[Mapping[str, Any]], Type]] = {
    (_CONNECT + "Decimal", "bytes"): _decimal,
    (_CONNECT + "Date", "int32"): _always(types.Date()),
    (_CONNECT + "Time", "int32"): _always(types.Time(MILLIS)),
    (_CONNECT + "Timestamp", "int64"): _always(types.Timestamp(MILLIS)),
    (_TIME + "Date", "int32"): _always(types.Date()),
    (_TIME + "Time", "int32"): _always(types.Time(MILLIS)),
    (_TIME + "MicroTime", "int64"): _always(types.Time(MICROS)),
    (_TIME + "NanoTime", "int64"): _always(types.Time(NANOS)),
    (_TIME + "Timestamp", "int64"): _always(types.Timestamp(MILLIS)),
    (_TIME + "MicroTimestamp", "int64"): _always(types.Timestamp(MICROS)),
    (_TIME + "NanoTimestamp", "int64"): _always(types.Timestamp(NANOS)),
    (_TIME + "ZonedTimestamp", "string"): _always(types.ZonedTimestamp()),
    (_TIME + "ZonedTime", "string"): _always(types.ZonedTime()),
    (_TIME + "IsoDate", "string"): _always(types.IsoDate()),
    (_TIME + "IsoTime", "string"): _always(types.IsoTime()),
    (_TIME + "IsoTimestamp", "string"): _always(types.IsoTimestamp()),
    (_TIME + "MicroDuration", "int64"): _always(types.MicroDuration()),
    (_TIME + "Interval", "string"): _always(types.Interval()),
    (_TIME + "Year", "int32"): _always(types.Year()),
    (_DATA + "VariableScaleDecimal", "struct"): _always(types.VariableDecimal()),
    (_DATA + "Bits", "bytes"): _bits,
    (_DATA + "Uuid", "string"): _always(types.Uuid()),
    (_DATA + "Json", "string"): _always(types.Json()),
    (_DATA + "Xml", "string"): _always(types.Text("Xml")),
    (_DATA + "Ltree", "string"): _always(types.Text("Ltree")),
    (_DATA + "Tsvector", "string"): _always(types.Text("Tsvector")),
    (_DATA + "Enum", "string"): _enum("Enum"),
    (_DATA + "EnumSet", "string"): _enum("EnumSet"),
}
