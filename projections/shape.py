"""The shape of a read model's rows: making them, and settling what a handler did to one."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from decimal import Decimal
from operator import attrgetter
from typing import Any, TypeAlias, cast

from sqlalchemy import Column

from eventstore.errors import HandlingError, IncompleteRow
from projections.model import columns_of, twin
from projections.values import key_from_text, values_of

Key: TypeAlias = Any
"""A row's primary key: the value itself, or a tuple where it has several columns."""
RowValues: TypeAlias = tuple[Any, ...]
"""A row's values in the order of :attr:`Shape.names`."""


class Shape:
    """Columns of a model (``names``, of the primary key first: ``width`` of them) and its rows in memory."""

    def __init__(self, model: type[Any]) -> None:
        columns = columns_of(model)
        self.model, self.twin = model, twin(model)
        self.names, self.columns = tuple(columns), tuple(columns.values())
        self.width = len(model.__mapper__.primary_key)
        self._values = [values_of(column, f"{model.__name__}.{name}") for name, column in columns.items()]
        self._always = [(i, v.convert) for i, v in enumerate(self._values) if v.always]
        self._mutable = [i for i, v in enumerate(self._values) if v.mutable]
        # Equal is not alike for 1.0 and 1.00, or in JSON for 1 and true, and handlers may see the difference.
        self._told_apart = [i for i, v in enumerate(self._values) if v.kind in (Decimal, float, None)]
        self._required = [not column.nullable for column in self.columns]
        self._defaults = [(name, _constant(column)) for name, column in columns.items() if column.default is not None]
        self._key_kind = self._values[0].kind if self.width == 1 and not self._values[0].always else None
        # Combinations of classes that need no conversion: nearly always the one that a table has.
        self._fitting: set[tuple[type, ...]] = set()
        self._get: Callable[[Any], RowValues] = attrgetter(*self.names)
        if len(self.names) == 1:
            only = attrgetter(self.names[0])
            self._get = lambda row: (only(row),)

    # ---------------------------------------------------------------- keys

    def key(self, value: Any) -> Key:
        """``value``, from a key function, as the key of a row."""
        if self._key_kind is not None and type(value) is self._key_kind:
            return value
        parts = value if isinstance(value, tuple) else (value,)
        if len(parts) != self.width or None in parts:
            raise HandlingError(
                f"{value!r} is no key of a {self.model.__name__}",
                f"its primary key is {', '.join(self.names[: self.width])}",
                "mend key=: a value, or a tuple for a primary key of several columns",
            )
        settled = tuple(self._settled(i, part) for i, part in enumerate(parts))
        return settled[0] if self.width == 1 else settled

    def key_of_stream(self, text: str) -> Key:
        """The key of a stream as the key of a row."""
        return text if self._key_kind is str else self.key(key_from_text(self.columns[0], text))

    def value(self, name: str, value: Any) -> Any:
        """``value`` as the column ``name`` holds it."""
        return None if value is None else self._settled(self.names.index(name), value)

    def _settled(self, i: int, value: Any) -> Any:
        kind, convert, always, _ = self._values[i]
        return value if type(value) is kind and not always else convert(value)

    def key_in(self, values: RowValues) -> Key:
        """The key among a row's values."""
        return values[0] if self.width == 1 else values[: self.width]

    # ---------------------------------------------------------------- rows

    def fresh(self, key: Key) -> Any:
        """A row that no event has touched yet: its key and its defaults."""
        row = self.twin()
        for name, default in self._defaults:
            setattr(row, name, copy.deepcopy(default))
        for name, part in zip(self.names, (key,) if self.width == 1 else key, strict=False):
            setattr(row, name, part)
        return row

    def row(self, values: Sequence[Any]) -> Any:
        """A row with these values, free to be changed."""
        row = self.twin()
        for name, value in zip(self.names, values, strict=True):
            setattr(row, name, value)
        for i in self._mutable:
            setattr(row, self.names[i], copy.deepcopy(values[i]))
        return row

    def values_in(self, given: Any) -> RowValues:
        """The values of ``given``, an instance of the model or of its twin, which is left as it is."""
        row = self.twin()
        for name in self.names:
            setattr(row, name, getattr(given, name))
        return self.settle(row)

    def settle(self, row: Any) -> RowValues:
        """The values of ``row`` after a handler, as they will be read again; the row is given the same.

        :class:`~eventstore.errors.IncompleteRow` when a required column is not set,
        :class:`~eventstore.errors.HandlingError` when one holds what it cannot.
        """
        try:
            values = self._get(row)
        except IncompleteRow:
            self._complete(row)
            values = self._get(row)
        kinds = tuple(map(type, values))
        try:
            if kinds not in self._fitting:
                values = self._fit(row, values, kinds)
            if self._always:
                values = self._convert_always(row, values)
        except IncompleteRow:
            raise
        except HandlingError as error:
            raise HandlingError(f"row {self.key_in(values)!r}: {error.what}", error.why, error.fix) from None
        return values

    def alike(self, a: RowValues, b: RowValues) -> bool:
        """Whether two rows' values are equal, and written alike too."""
        return a == b and all(repr(a[i]) == repr(b[i]) for i in self._told_apart)

    def _complete(self, row: Any) -> None:
        """Set what a first handler left unset to NULL, where that may be."""
        unset = []
        for name, required in zip(self.names, self._required, strict=True):
            try:
                object.__getattribute__(row, name)
            except AttributeError:
                if required:
                    unset.append(name)
                else:
                    setattr(row, name, None)
        if unset:
            raise IncompleteRow(
                f"{row!r} has no {', '.join(unset)}",
                "this is the first event seen for the row, and its handler leaves required columns unset",
                "set them in the handler of the event that comes first, or give them defaults",
            )

    def _fit(self, row: Any, values: RowValues, kinds: tuple[type, ...]) -> RowValues:
        converted = False
        for i, (name, value) in enumerate(zip(self.names, values, strict=True)):
            if value is None:
                if self._required[i]:
                    raise IncompleteRow(
                        f"{self.model.__name__}.{name} was set to None",
                        "the column is NOT NULL",
                        f"declare it {name}: Mapped[... | None], or set a value",
                    )
                continue
            kind, convert, _, _ = self._values[i]
            if kind is not None and kinds[i] is not kind:
                setattr(row, name, convert(value))
                converted = True
        if converted:
            return self._get(row)
        self._fitting.add(kinds)
        return values

    def _convert_always(self, row: Any, values: RowValues) -> RowValues:
        changed = list(values)
        for i, convert in self._always:
            if values[i] is not None:
                changed[i] = convert(values[i])
                if changed[i] is not values[i]:
                    setattr(row, self.names[i], changed[i])
        return tuple(changed)


def _constant(column: Column[Any]) -> Any:
    return cast(Any, column.default).arg
