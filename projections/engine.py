"""The engine: folds batches of records into rows, with one read and one write of each kind a batch."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from eventstore.model.codec import decode, event_type
from eventstore.model.record import Record
from eventstore.pipeline.handler import Item
from projections.fingerprint import fingerprint
from projections.folding import Rows, Touch, touches_of
from projections.projection import Lookup, Projection
from projections.reading import read_rows
from projections.shape import Key, RowValues, Shape
from projections.store import RowStore
from projections.tables import ReadModelTables, is_empty

CACHE_ROWS = 100_000


class Held:
    """The rows a leaseholder keeps between batches, the least recently used leaving first.

    ``complete``: there is no row in the table that is not held, so none needs to be looked for.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._rows: OrderedDict[Key, RowValues] = OrderedDict()
        self.complete = False

    def reset(self, empty: bool) -> None:
        """Hold nothing; ``empty``: there is nothing to hold."""
        self._rows.clear()
        self.complete = empty

    def take(self, keys: Sequence[Key]) -> tuple[dict[Key, RowValues], list[Key]]:
        """Of ``keys`` the rows that are held, and the keys that must be read."""
        rows = self._rows
        found = {key: rows[key] for key in keys if key in rows}
        if self.complete:
            return found, []
        return found, [key for key in keys if key not in found] if len(found) < len(keys) else []

    def keep(self, rows: Mapping[Key, RowValues | None]) -> None:
        """Hold committed rows; None: it is not there any more."""
        held = self._rows
        for key, values in rows.items():
            if values is None:
                held.pop(key, None)
            else:
                held[key] = values
                held.move_to_end(key)
        while len(held) > self._size:
            held.popitem(last=False)
            self.complete = False


class ProjectionWork:
    """The rows that a batch changed. Implements :class:`~eventstore.pipeline.handler.Work`."""

    def __init__(
        self,
        shape: Shape,
        store: RowStore,
        held: Held,
        stored: Mapping[Key, RowValues],
        changed: Mapping[Key, RowValues | None],
    ) -> None:
        self._shape, self._store, self._held, self._stored, self._changed = shape, store, held, stored, changed

    def write(self, connection: Connection) -> None:
        """Deletes first: what they free in a unique column may be taken again by another row."""
        stored = self._stored
        deleted = [key for key, values in self._changed.items() if values is None and key in stored]
        if deleted:
            self._store.delete(connection, deleted)
        new = [values for key, values in self._changed.items() if values is not None and key not in stored]
        other = [
            values
            for key, values in self._changed.items()
            if values is not None and key in stored and not self._shape.alike(values, stored[key])
        ]
        if other:
            self._store.upsert(connection, other)
        if new and self._held.complete:
            self._store.insert(connection, new)
        elif new:
            self._store.upsert(connection, new)

    def committed(self) -> None:
        self._held.keep({**self._stored, **self._changed})


class ProjectionHandler:
    """Runs a projection in a pipeline. Implements :class:`~eventstore.pipeline.handler.Handler`.

    ``categories`` is how many categories of streams its source reads: a row belongs to one stream only when
    there is one. ``cache`` is how many rows are kept in memory between batches.
    """

    def __init__(
        self, projection: Projection[Any], generation: int = 1, *, categories: int = 1, cache: int = CACHE_ROWS
    ) -> None:
        self.projection = projection
        self.tables = ReadModelTables(projection, generation)
        # Only when each row is changed by the one stream whose key it has.
        self.shared = projection.by_stream and categories == 1
        self.fingerprint = fingerprint(projection)
        self._held = Held(cache)
        self._stores: dict[str, RowStore] = {}

    def reset(self, connection: Connection) -> None:
        self._held.reset(empty=is_empty(connection, self.tables.physical_name(connection)))

    def clear(self, connection: Connection) -> None:
        self.tables.clear(connection)
        self._held.reset(empty=False)

    def admit(self, record: Record, *, again: bool = False) -> Item | None:
        """Decode it if its event has a handler. An event that this process has no class for has none."""
        if event_type(record.headers) not in self.projection.rules:
            return None
        return Item(record, decode(record))

    def keys(self, record: Record, item: Item | None, connection: Connection) -> Sequence[str]:
        """``stream:<stream>``, then ``row:<key>`` for each row it would touch, as far as that can be told."""
        stream = record.headers.get("ce_subject")
        first = [f"stream:{stream}"] if stream else []
        if item is None:
            return first
        try:
            touches = touches_of(self.projection, [item.content])
        except Exception:  # whatever the key functions raise: the record is about to fail by it
            return first
        found = dict.fromkeys(touch.key for touch in touches if touch.rule.where is None)
        for name, values in _chosen(touches).items():
            found |= dict.fromkeys(self._store(connection).read_where(connection, name, list(values)))
        return [*first, *(f"row:{key}" for key in found)]

    def prepare(self, items: Sequence[Item], connection: Connection) -> ProjectionWork:
        """Fold ``items`` on copies: rows held from earlier batches are not touched."""
        touches = touches_of(self.projection, (item.content for item in items))
        stored = self._load(touches, connection)
        looked_up = self._look_up(touches, connection)
        rows = Rows(self.projection, stored)
        for touch in touches:
            rows.apply(touch, _found(looked_up, touch))
        return ProjectionWork(self.projection.shape, self._store(connection), self._held, stored, rows.changed)

    def whole(self, record: Record) -> bool:
        """Never: an event says what happened, not what everything is."""
        return False

    # ---------------------------------------------------------------- steps

    def _load(self, touches: Sequence[Touch], connection: Connection) -> dict[Key, RowValues]:
        """All stored rows that ``touches`` may reach."""
        keys = list(dict.fromkeys(touch.key for touch in touches if touch.rule.where is None))
        stored, missing = self._held.take(keys)
        store = self._store(connection)
        if missing:
            stored |= store.read(connection, missing)
        for name, values in _chosen(touches).items():
            stored |= store.read_where(connection, name, list(values))
        return stored

    def _look_up(self, touches: Sequence[Touch], connection: Connection) -> dict[type, dict[Key, Any]]:
        """The rows of other read models that handlers ask for, by model and key."""
        wanted: dict[type, tuple[Shape, dict[Key, None]]] = {}
        for touch in touches:
            lookup: Lookup | None = touch.rule.lookup
            if lookup is not None and touch.looked_up is not None:
                model = lookup.shape.model
                wanted.setdefault(model, (lookup.shape, {}))[1][touch.looked_up] = None
        return {
            model: read_rows(shape, list(keys), connection, self._stores) for model, (shape, keys) in wanted.items()
        }

    def _store(self, connection: Connection) -> RowStore:
        name = self.tables.physical_name(connection)
        store = self._stores.get(name)
        if store is None:
            store = self._stores[name] = RowStore.on(connection, self.projection.shape, name)
        return store


def _chosen(touches: Sequence[Touch]) -> dict[str, dict[Any, None]]:
    """The values that wheres choose rows by, for each column."""
    chosen: dict[str, dict[Any, None]] = {}
    for touch in touches:
        if touch.rule.where is not None and touch.value is not None:
            chosen.setdefault(touch.rule.where.column, {})[touch.value] = None
    return chosen


def _found(looked_up: Mapping[type, Mapping[Key, Any]], touch: Touch) -> tuple[Any, ...]:
    lookup = touch.rule.lookup
    return () if lookup is None else (looked_up.get(lookup.shape.model, {}).get(touch.looked_up),)
