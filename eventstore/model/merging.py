"""Records of several partitions in one order: that of their times, and within a partition its own."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from eventstore.model.log import Source
from eventstore.model.record import Position, Record, TopicPartition

READ_AT_ONCE = 1_000
_LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)


def read_by_time(source: Source, ends: Position) -> Iterator[Record]:
    """Everything before ``ends``, read in short portions."""
    return merge_by_time(_until(source, partition, end) for partition, end in sorted(ends.items()))


def merge_by_time(parts: Iterable[Iterator[Record]]) -> Iterator[Record]:
    """Records that are in order each, in one order."""
    return heapq.merge(*parts, key=by_time)


def by_time(record: Record) -> tuple[datetime, str, int, int]:
    """What orders records; one without a time comes first."""
    return record.timestamp or _LONG_AGO, record.topic, record.partition, record.offset


def _until(source: Source, partition: TopicPartition, end: int) -> Iterator[Record]:
    offset = 0
    while offset < end:
        records = source.read({partition: offset}, min(READ_AT_ONCE, end - offset))
        if not records:
            return
        yield from records
        offset = records[-1].offset + 1
