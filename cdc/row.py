"""One row, key or part of it from JSON values to Python values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cdc import types
from cdc.connect import MAX_DEPTH
from cdc.message import UNCHANGED, Column, Row
from cdc.placeholder import Placeholder
from cdc.types import Type

# What is a Python value as JSON has it, so that looking at its class is all there is to do.
_AS_IT_IS: dict[type, type] = {
    types.Text: str,
    types.Json: str,
    types.Interval: str,
    types.Integer: int,
    types.Year: int,
    types.Boolean: bool,
    types.Float: float,
}


class RowDecoder:
    """Decodes rows of one shape. ValueError names the column that does not fit its type.

    ``columns``: all there are, from a message's schema; None when types are declared, and columns without
    one stay as JSON has them.
    """

    def __init__(
        self, types_: Mapping[str, Type], placeholder: Placeholder, columns: tuple[Column, ...] | None
    ) -> None:
        self.columns = columns
        self._names = types_.keys()
        self._placeholder = placeholder
        shapes = ((name, placeholder.shapes_of(type_)) for name, type_ in types_.items())
        self._toastable = [(name, shapes) for name, shapes in shapes if shapes]
        self._steps = [(name, _AS_IT_IS.get(type(type_)), type_.decode) for name, type_ in types_.items()]

    def decode(self, raw: Any) -> dict[str, Any]:
        """The values of ``raw``, in its order."""
        if type(raw) is not dict:
            raise ValueError(f"a row is a JSON object, and this is a {type(raw).__name__}")
        if self.columns is not None and raw.keys() != self._names:
            raise ValueError(f"the row and its schema differ in the columns {sorted(raw.keys() ^ self._names)}")
        row = raw.copy()
        name = ""
        try:
            for name, as_it_is, decode in self._steps:
                value = raw.get(name)
                if value is not None and type(value) is not as_it_is:
                    row[name] = decode(value)
            if self.columns is None:
                for name in raw.keys() - self._names:
                    _check_depth(raw[name])
        except (ValueError, OverflowError) as error:
            raise ValueError(f"column {name[:80]!r}: {error}") from None
        return row

    def decode_changed(self, raw: Any, key: Row | None) -> dict[str, Any]:
        """The same, with UNCHANGED for every placeholder that is not in a column of ``key``."""
        if type(raw) is not dict:
            return self.decode(raw)
        unchanged = self._unchanged(raw) - (key or {}).keys()
        if not unchanged:
            return self.decode(raw)
        row = self.decode({**raw, **dict.fromkeys(unchanged)})
        row.update(dict.fromkeys(unchanged, UNCHANGED))
        return row

    def _unchanged(self, raw: dict[str, Any]) -> set[str]:
        found = {name for name, shapes in self._toastable if raw.get(name) in shapes}
        if self.columns is None:
            shapes = self._placeholder.shapes
            found.update(name for name in raw.keys() - self._names if raw[name] in shapes)
        return found


def _check_depth(value: Any, depth: int = 0) -> None:
    """A column without a type is at most a list of structs: what is deeper breaks whoever prints or copies it."""
    if isinstance(value, (list, dict)):
        if depth == MAX_DEPTH:
            raise ValueError(f"its value is nested more than {MAX_DEPTH} deep")
        for item in value.values() if isinstance(value, dict) else value:
            _check_depth(item, depth + 1)


def decoder_of(columns: tuple[Column, ...], placeholder: Placeholder) -> RowDecoder:
    """A decoder for the columns of a schema."""
    return RowDecoder({column.name: column.type for column in columns}, placeholder, columns)
