"""Debezium's word for a value it did not send because it is unchanged (TOAST), in the shapes it takes.

Source: Debezium's documentation of ``unavailable.value.placeholder``, and its UnchangedToastedPlaceholder.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from typing import Any
from uuid import UUID

from cdc import types
from cdc.types import Type

DEFAULT_PLACEHOLDER = "__debezium_unavailable_value"

# Points that stand for an unchanged geometry, whatever the placeholder's text.
_GEOMETRIES = {
    "Geometry": "AQEAACDmEAAAAAAA/IPXl8EAAAD8g9eXwQ==",
    "Geography": "AQEAACDmEAAADCHn/f9/ZkAYQs77/39WQA==",
}


class Placeholder:
    """The placeholder with the connector's ``text``. ``shapes``: all it takes, whatever the column's type."""

    def __init__(self, text: str = DEFAULT_PLACEHOLDER) -> None:
        self._text = text
        self._base64 = b64encode(text.encode()).decode()
        self._bytes = list(text.encode())
        self._uuid = str(UUID(bytes=hashlib.md5(text.encode(), usedforsecurity=False).digest(), version=3))
        self.shapes = self._of_all(
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
