"""Debezium's word for a value it did not send because it is unchanged (TOAST), in the shapes it takes.

Source: Debezium's documentation of ``unavailable.value.placeholder``, and its UnchangedToastedPlaceholder.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from cdc import types
from cdc.message import Row
from cdc.types import Type

DEFAULT_PLACEHOLDER = "__debezium_unavailable_value"

# Points that stand for an unchanged geometry, whatever the placeholder's text.
_GEOMETRIES = {
    "Geometry": "AQEAACDmEAAAAAAA/IPXl8EAAAD8g9eXwQ==",
    "Geography": "AQEAACDmEAAADCHn/f9/ZkAYQs77/39WQA==",
}


class Placeholder:
    """The placeholder with the connector's ``text``."""

    def __init__(self, text: str = DEFAULT_PLACEHOLDER) -> None:
        self._text = text
        self._base64 = b64encode(text.encode()).decode()
        self._bytes = list(text.encode())
        self._uuid = str(UUID(bytes=hashlib.md5(text.encode(), usedforsecurity=False).digest(), version=3))
        numbers = ",".join(map(str, self._bytes))
        self._traces = [t.encode() for t in (text, self._base64, numbers, self._uuid, *_GEOMETRIES.values())]
        # Text that JSON writes as it is, so that bytes without it have no placeholder.
        self._plain = text.isascii() and text.isprintable() and not set(text) & set('"\\/<>&')
        self._of_any_type = self._of_all(
            *(types.Json(), types.Bytes(), types.Map(types.Text())),
            *(types.Array(item) for item in (types.Bytes(), types.Integer(), types.Uuid())),
            *(types.Struct((), kind) for kind in _GEOMETRIES),
        )

    def _of_all(self, *of: Type) -> tuple[Any, ...]:
        return tuple(shape for type_ in of for shape in self.shapes_of(type_))

    def shapes_of(self, type_: Type) -> tuple[Any, ...]:
        """What stands in JSON for an unchanged value of this type; nothing for types that are never TOASTed."""
        text = self._text
        match type_:
            case types.Text() | types.DecimalText():
                return (text,)
            case types.Json():
                return (text, f'{{"{text}":"{text}"}}')  # an hstore is the latter
            case types.Bytes() | types.Decimal():
                return (self._base64,)
            case types.Map():
                return ({text: text},)
            case types.Array(item=types.Integer() | types.Date()):
                return ([text], self._bytes)
            case types.Array(item=types.Uuid()):
                return ([text], [self._uuid])
            case types.Array():
                return ([text], [self._base64])
            case types.Struct(kind=kind) if kind in _GEOMETRIES:
                return ({"wkb": _GEOMETRIES[kind], "srid": 4326},)
        return ()

    def may_be_in(self, data: bytes) -> bool:
        """False: none of its shapes is in this JSON, so no column need be looked at."""
        return not self._plain or any(trace in data for trace in self._traces)

    def find(self, raw: Mapping[str, Any], shapes: Mapping[str, tuple[Any, ...]], key: Row | None) -> set[str]:
        """The columns that are unchanged. ``shapes`` are those of the columns that have a type.

        A column of the key never is unchanged: what it says, it says itself.
        """
        of_any_type = self._of_any_type
        found = {name for name, value in raw.items() if value is not None and value in shapes.get(name, of_any_type)}
        return found - key.keys() if key is not None else found
