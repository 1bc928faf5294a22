"""The fold: events into rows, in memory. Pure: what it needs to know of stored rows is passed in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from eventstore.errors import HandlingError
from eventstore.model.message import Event
from projections.model import DELETE
from projections.projection import Projection, Rule
from projections.shape import Key, RowValues, Shape

R = TypeVar("R")


class Touch(NamedTuple):
    """One event for one rule: the row of ``key``, or the rows chosen by ``value`` when the rule has a where."""

    rule: Rule
    event: Event
    key: Key = None
    value: Any = None
    looked_up: Key = None


def touches_of(projection: Projection[Any], events: Iterable[Event]) -> list[Touch]:
    """What ``events`` will touch, by the projection's key functions, in order."""
    touches: list[Touch] = []
    rules, shape = projection.rules, projection.shape
    for event in events:
        for rule in rules.get(type(event), ()):
            if rule.lookup is not None:
                found = rule.lookup.key(event)
                looked_up = None if found is None else rule.lookup.shape.key(found)
            else:
                looked_up = None
            if rule.where is not None:
                value = shape.value(rule.where.column, rule.where.value(event))
                touches.append(Touch(rule, event, None, value, looked_up))
            elif rule.key is None:
                touches.append(Touch(rule, event, shape.key_of_stream(event.meta.key), None, looked_up))
            else:
                keys = rule.key(event)
                for key in dict.fromkeys(map(shape.key, keys if isinstance(keys, list) else (keys,))):
                    touches.append(Touch(rule, event, key, None, looked_up))
    return touches


class Rows:
    """Rows as a run of touches changes them.

    ``stored`` holds the values of every row that the touches may reach: all of their keys that exist, and all
    rows that a where chooses. ``changed`` says afterwards what became of those touched, None: deleted.
    """

    def __init__(self, projection: Projection[Any], stored: Mapping[Key, RowValues]) -> None:
        self._shape: Shape = projection.shape
        self._stored = stored
        self._rows: dict[Key, Any] = {}
        self.changed: dict[Key, RowValues | None] = {}
        columns = projection.where_columns
        self._indexes = {name: _Index(self._shape.names.index(name), stored) for name in columns}

    def apply(self, touch: Touch, looked_up: Sequence[Any] = ()) -> None:
        """Fold one touch; ``looked_up`` is the third argument of a handler that has a lookup."""
        if touch.rule.where is None:
            self._apply(touch, touch.key, looked_up)
            return
        for key in self._indexes[touch.rule.where.column].keys(touch.value):
            self._apply(touch, key, looked_up)

    def _apply(self, touch: Touch, key: Key, looked_up: Sequence[Any]) -> None:
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = self._begin(key)
        outcome = touch.rule.function(row, touch.event, *looked_up)
        if outcome is None:
            values = self._shape.settle(row)
            if self._shape.key_in(values) != key:
                raise _key_changed(touch, key, self._shape.key_in(values))
        elif outcome is DELETE:
            values = None
            del self._rows[key]
        else:
            raise _wrong_outcome(touch, outcome)
        for index in self._indexes.values():
            index.move(key, self.values(key), values)
        self.changed[key] = values

    def _begin(self, key: Key) -> Any:
        values = self.values(key)
        return self._shape.fresh(key) if values is None else self._shape.row(values)

    def values(self, key: Key) -> RowValues | None:
        """The values of a row as it is now."""
        return self.changed[key] if key in self.changed else self._stored.get(key)


class _Index:
    """Keys of rows by the value of one column."""

    def __init__(self, position: int, stored: Mapping[Key, RowValues]) -> None:
        self._position = position
        self._keys: dict[Any, dict[Key, None]] = {}
        for key, values in stored.items():
            self.move(key, None, values)

    def keys(self, value: Any) -> list[Key]:
        return [] if value is None else list(self._keys.get(value, ()))

    def move(self, key: Key, before: RowValues | None, after: RowValues | None) -> None:
        if before is not None:
            self._keys.get(before[self._position], {}).pop(key, None)
        if after is not None:
            self._keys.setdefault(after[self._position], {})[key] = None


def fold(
    projection: Projection[R],
    *events: Event,
    rows: Mapping[Any, R] | None = None,
    lookups: Mapping[type[Any], Mapping[Any, Any]] | None = None,
) -> dict[Any, R]:
    """The rows after ``events``, by key: what a pipeline would store, for tests without a database.

    ``rows`` are those there before, by key, and are left as they are. ``lookups`` are the rows of other read
    models that handlers look up: ``{Product: {"sku-1": Product(...)}}``. The rows given back are twins of the
    model: the same columns, methods and properties.
    """
    given = [projection.shape.values_in(row) for row in (rows or {}).values()]
    stored = {projection.shape.key_in(values): values for values in given}
    folding = Rows(projection, stored)
    for touch in touches_of(projection, events):
        lookup = touch.rule.lookup
        known = {} if lookup is None else (lookups or {}).get(lookup.shape.model, {})
        folding.apply(touch, () if lookup is None else (known.get(touch.looked_up),))
    left = stored | folding.changed
    return {key: projection.shape.row(values) for key, values in left.items() if values is not None}


def _key_changed(touch: Touch, key: Key, now: Key) -> HandlingError:
    return HandlingError(
        f"{touch.rule.function.__name__} changed the primary key of a row from {key!r} to {now!r}",
        f"the row belongs to the key that {type(touch.event).__name__} has",
        "delete the row and fold into another: one handler for each key",
    )


def _wrong_outcome(touch: Touch, outcome: object) -> HandlingError:
    return HandlingError(
        f"{touch.rule.function.__name__} returned {outcome!r} for {type(touch.event).__name__}",
        "a handler changes its row and returns nothing, or returns DELETE",
        "leave the return out",
    )
