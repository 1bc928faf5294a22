"""Explaining a row: folding it again from the log, and showing what each event changed."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from eventstore.model.codec import decode, event_type
from eventstore.model.log import EventLog, Source
from eventstore.model.message import Event
from eventstore.model.record import Record, TopicPartition
from projections.engine import read_rows
from projections.folding import Rows, Touch, touches_of
from projections.projection import Projection
from projections.shape import Key, RowValues

READ_AT_ONCE = 1_000
_LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Step:
    """One event that touched the row: where it is in the log, and ``column → (old, new)`` of what it changed.

    Of a row that was not there all old values are None; of one that ``deleted`` all new ones.
    """

    event: Event
    record: Record
    handler: str
    changes: Mapping[str, tuple[Any, Any]]
    deleted: bool = False


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
    projection whose every handler goes by the stream's key reads that key's streams only.
    """
    wanted = projection.shape.key(key)
    steps: list[Step] = []
    folding = Rows(projection, {})
    for record in _records(projection, wanted, source, log):
        if event_type(record.headers) not in projection.rules:
            continue
        event = decode(record)
        for touch in touches_of(projection, [event]):
            if touch.rule.where is None and touch.key != wanted:
                continue
            step = _step(projection, folding, touch, wanted, record, connection)
            if step is not None:
                steps.append(step)
    stored = read_rows(projection.shape, [wanted], connection).get(wanted)
    names = projection.shape.names
    return Explanation(
        wanted,
        tuple(steps),
        _named(projection, folding.values(wanted)),
        None if stored is None else {name: getattr(stored, name) for name in names},
    )


def _step(
    projection: Projection[Any], folding: Rows, touch: Touch, key: Key, record: Record, connection: Connection
) -> Step | None:
    """Fold one touch. None: its where does not choose the row."""
    before = folding.values(key)
    if touch.rule.where is not None:
        position = projection.shape.names.index(touch.rule.where.column)
        if before is None or touch.value is None or before[position] != touch.value:
            return None
    old = _named(projection, before)
    folding.apply(touch, _look_up(touch, connection))
    new = _named(projection, folding.values(key))
    names = projection.shape.names
    changes = {
        name: (old[name] if old else None, new[name] if new else None)
        for name in names
        if old is None or new is None or old[name] != new[name]
    }
    return Step(touch.event, record, touch.rule.function.__name__, changes, deleted=new is None)


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


# -------------------------------------------------------------------- records, in one order


def _records(projection: Projection[Any], key: Key, source: Source, log: EventLog | None) -> Iterator[Record]:
    ends = source.ends()
    if log is not None and projection.by_stream:
        streams = sorted({f"{topic.rpartition('.')[2]}-{key}" for topic, _ in ends})
        return _merged(log.read_stream(stream) for stream in streams)
    return _merged(_partition(source, partition, end) for partition, end in sorted(ends.items()))


def _merged(parts: Iterable[Iterator[Record]]) -> Iterator[Record]:
    return heapq.merge(*parts, key=_order)


def _order(record: Record) -> tuple[datetime, str, int, int]:
    return record.timestamp or _LONG_AGO, record.topic, record.partition, record.offset


def _partition(source: Source, partition: TopicPartition, end: int) -> Iterator[Record]:
    """The records of one partition up to ``end``, read in short portions."""
    offset = 0
    while offset < end:
        records = source.read({partition: offset}, min(READ_AT_ONCE, end - offset))
        if not records:
            return
        yield from records
        offset = records[-1].offset + 1
