"""Explaining a row: folding it again from the log, and showing what each event changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from eventstore.model.codec import decode, event_type
from eventstore.model.log import EventLog, Source
from eventstore.model.merging import merge_by_time, read_by_time
from eventstore.model.message import Event
from eventstore.model.record import Record
from projections.folding import Rows, Touch, touches_of
from projections.projection import Projection
from projections.reading import read_rows
from projections.shape import Key, RowValues


@dataclass(frozen=True, slots=True)
class Step:
    """One event that touched the row: where it is in the log, and ``column → (old, new)`` of what it changed.

    Of a row that was not there all old values are None; of one that ``deleted`` all new ones. ``error`` is
    what the handler raised: such a record is a dead letter, and changes nothing.
    """

    event: Event
    record: Record
    handler: str
    changes: Mapping[str, tuple[Any, Any]]
    deleted: bool = False
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a row came to be: its steps, the row they end with, and the one that is stored; None: there is none."""

    key: Any
    steps: tuple[Step, ...]
    row: Mapping[str, Any] | None
    stored: Mapping[str, Any] | None

    @property
    def same(self) -> bool:
        """Whether the stored row is what the log gives now."""
        return self.row == self.stored


def explain(
    projection: Projection[Any], key: Any, source: Source, connection: Connection, log: EventLog | None = None
) -> Explanation:
    """Fold the row of ``key`` again from the records of ``source``, and compare it with the stored one.

    Partitions are merged by time, which need not be the order in which the pipeline met them; a lookup shows
    the other read model as it is now. Both matter only to a fold that does not commute. With ``log``, a
    projection whose every handler goes by the stream's key reads that key's streams only. What cannot be
    decoded, or raises in a key function, is passed over: no row can be told for it.
    """
    wanted = projection.shape.key(key)
    values: RowValues | None = None
    steps: list[Step] = []
    for record in _records(projection, wanted, source, log):
        for touch in _touches(projection, wanted, record):
            if _chooses(projection, touch, values):
                values, step = _step(projection, wanted, values, touch, record, connection)
                steps.append(step)
    stored = read_rows(projection.shape, [wanted], connection).get(wanted)
    kept = None if stored is None else {name: getattr(stored, name) for name in projection.shape.names}
    return Explanation(wanted, tuple(steps), _named(projection, values), kept)


def _touches(projection: Projection[Any], key: Key, record: Record) -> list[Touch]:
    """What ``record`` may do to the row of ``key``."""
    if event_type(record.headers) not in projection.rules:
        return []
    try:
        touches = touches_of(projection, [decode(record)])
    except Exception:  # a dead letter, and whatever a key function may raise
        return []
    return [touch for touch in touches if touch.rule.where is not None or touch.key == key]


def _chooses(projection: Projection[Any], touch: Touch, values: RowValues | None) -> bool:
    """Whether the row, being as it is, gets the event."""
    if touch.rule.where is None:
        return True
    if values is None or touch.value is None:
        return False
    return bool(values[projection.shape.names.index(touch.rule.where.column)] == touch.value)


def _step(
    projection: Projection[Any],
    key: Key,
    before: RowValues | None,
    touch: Touch,
    record: Record,
    connection: Connection,
) -> tuple[RowValues | None, Step]:
    """The row after one touch, and what to tell of it."""
    handler = touch.rule.function.__name__
    old = _named(projection, before)
    rows = Rows(projection, {} if before is None else {key: before})
    try:
        rows.apply(touch, _look_up(touch, connection))
    except Exception as error:  # a handler's own, whatever it is
        return before, Step(touch.event, record, handler, {}, error=f"{type(error).__name__}: {error}")
    after = rows.values(key)
    new = _named(projection, after)
    changes = {
        name: (old[name] if old else None, new[name] if new else None)
        for name in projection.shape.names
        if old is None or new is None or old[name] != new[name]
    }
    return after, Step(touch.event, record, handler, changes, deleted=new is None)


def _named(projection: Projection[Any], values: RowValues | None) -> dict[str, Any] | None:
    if values is None:
        return None
    row = projection.shape.row(values)  # a copy: what can be changed in place may be, by the next handler
    return {name: getattr(row, name) for name in projection.shape.names}


def _look_up(touch: Touch, connection: Connection) -> tuple[Any, ...]:
    lookup = touch.rule.lookup
    if lookup is None:
        return ()
    if touch.looked_up is None:
        return (None,)
    return (read_rows(lookup.shape, [touch.looked_up], connection).get(touch.looked_up),)


def _records(projection: Projection[Any], key: Key, source: Source, log: EventLog | None) -> Iterator[Record]:
    ends = source.ends()
    if log is not None and projection.by_stream:
        streams = sorted({f"{topic.rpartition('.')[2]}-{key}" for topic, _ in ends})
        return merge_by_time(log.read_stream(stream) for stream in streams)
    return read_by_time(source, ends)
