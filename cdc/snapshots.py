"""Snapshots of the source, and what they show by leaving it out. Protocols, section 3.

A row that was deleted while nobody read the source's log shows only by being absent from the next snapshot.
So each snapshot of a source opens a reconciliation: when a partition has passed the snapshot, the rows of
the tables it read that it did not read are gone. A partition has passed it with its first live change
after it, or when everything was read that stood in the topics as the snapshot's ``last`` row was read.

A table of which a snapshot read no row at all is left as it is: whether it was empty, or not asked for (a
snapshot of some tables, on a signal), cannot be told. Incremental snapshots reconcile nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from cdc.held import Delivery
from cdc.images import Image, ImageKey, Images
from cdc.message import RowMessage, SourcePosition
from cdc.resolve import Resolver, confirmed_copies
from cdc.rows import key_text
from cdc.temporal import instant_of, micros_of
from cdc.watermark import Watermarks, source_reset
from eventstore.model.record import Position, Record, TopicPartition, reached


@dataclass(slots=True)
class SourceSnapshot:
    """One source's newest snapshot: ``lsn`` and ``at`` (µs) name it.

    ``tables`` it read so far → whether they have a key; ``done``: (table, partition) reconciled;
    ``until``: what is to be read before all partitions have passed it; ``ended``: tables read to the end.
    """

    lsn: int
    at: int
    tables: dict[str, bool] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    done: set[tuple[str, int]] = field(default_factory=set)
    until: dict[TopicPartition, int] | None = None
    closed: bool = False


class Due(NamedTuple):
    """A table to reconcile; ``partition`` None: all of it."""

    table: str
    partition: int | None


class Snapshots:
    """The newest snapshot of every source, which rows a batch has shown to be there, and what was read."""

    def __init__(self, ends: Callable[[], Position] | None = None) -> None:
        self._ends = ends
        self.held: dict[str, SourceSnapshot] = {}
        self.moved: set[str] = set()
        self.seen: dict[ImageKey, int] = {}
        self.read: dict[TopicPartition, int] = {}

    def admit(self, message: RowMessage, record: Record) -> bool:
        """Note a row that a snapshot read. False: it is a repetition that cannot be told by the row's key."""
        if message.op != "r" or message.position is None or message.snapshot == "incremental":
            return True
        source, lsn, at = topic_prefix(message), message.position.lsn, micros_of(message.at)
        snapshot = self.held.get(source)
        if snapshot is not None and lsn < snapshot.lsn:
            if at > snapshot.at:
                raise source_reset(message, SourcePosition(snapshot.lsn, snapshot.lsn))
            return True
        if snapshot is None or lsn > snapshot.lsn:
            snapshot = self.held[source] = SourceSnapshot(lsn, at)
        self.moved.add(source)
        keyed = message.key is not None
        if not keyed and message.table in snapshot.ended:
            return False
        snapshot.tables[message.table] = keyed
        if message.snapshot in ("last", "last_in_data_collection"):
            snapshot.ended.add(message.table)
        if message.snapshot == "last" and snapshot.until is None:
            snapshot.until = self._now(record)
        if message.key is not None:
            self.seen[ImageKey(message.table, key_text(message.key))] = lsn
        return True

    def spare(self, message: RowMessage | None) -> None:
        """A message about this row cannot be decoded: it may be what a snapshot read of it."""
        if message is not None and message.key is not None:
            snapshot = self.held.get(topic_prefix(message))
            if snapshot is not None and not snapshot.closed:
                self.seen[ImageKey(message.table, key_text(message.key))] = snapshot.lsn

    def _now(self, record: Record) -> dict[TopicPartition, int]:
        ends = {} if self._ends is None else dict(self._ends())
        partition = (record.topic, record.partition)
        return {**ends, partition: max(ends.get(partition, 0), record.offset + 1)}

    def refutes(self, message: RowMessage) -> bool:
        """Whether a snapshot after ``message`` has shown that its row, of which there is no image, is gone.

        So it is with a change that was parked while its row was deleted unseen.
        """
        snapshot = self.held.get(topic_prefix(message))
        if snapshot is None or message.position is None or message.table not in snapshot.tables:
            return False
        passed = snapshot.closed or (message.table, message.partition) in snapshot.done
        return passed and message.position.lsn < snapshot.lsn

    def due(self, watermarks: Watermarks) -> Iterator[tuple[str, SourceSnapshot, Due]]:
        """What has passed a snapshot and is still to be reconciled with it; it counts as done from here."""
        for source, snapshot in self.held.items():
            if snapshot.closed:
                continue
            if snapshot.until is not None and reached(self.read, snapshot.until):
                snapshot.closed = True
                self.moved.add(source)
                yield from ((source, snapshot, Due(table, None)) for table in sorted(snapshot.tables))
                continue
            for (_, partition), mark in sorted(watermarks.held.items()):
                passed = (mark.table, partition)
                if mark.table in snapshot.tables and passed not in snapshot.done and mark.position.lsn >= snapshot.lsn:
                    snapshot.done.add(passed)
                    self.moved.add(source)
                    yield source, snapshot, Due(*passed)

    def reconcile(self, watermarks: Watermarks, images: Images, resolver: Resolver) -> None:
        """Mark what the batch's snapshot rows have shown to be there, then drop what was not."""
        for key, lsn in self.seen.items():
            image = images.get(key)
            if image is not None and image.seen != lsn:
                images.put(key, replace(image, seen=lsn))
        self.seen = {}
        for source, snapshot, due in self.due(watermarks):
            keyed = snapshot.tables[due.table]
            unseen = Delivery(_unseen(snapshot, due.table), f"{source}: snapshot at {snapshot.lsn}")
            for key, image in images.of_table(due.table, snapshot.lsn if keyed else None, due.partition):
                if key.moved_to or image.row is None:
                    continue
                if missing := _missing(image, snapshot.lsn, keyed):
                    resolver.drop(key, image, missing, unseen, "/unseen")


def _missing(image: Image, lsn: int, keyed: bool) -> int:
    """How many of the image's copies a snapshot did not read, though they are older than it."""
    if image.seen != lsn:
        return image.copies if image.position is not None and image.position.lsn < lsn else 0
    return 0 if keyed else image.copies - confirmed_copies(image, lsn)


def _unseen(snapshot: SourceSnapshot, table: str) -> RowMessage:
    position = SourcePosition(snapshot.lsn, snapshot.lsn)
    at = instant_of(snapshot.at)
    return RowMessage("r", table, "", 0, None, None, None, position, at, "last")


def topic_prefix(message: RowMessage) -> str:
    """The connector's topic prefix: what its topics have before ``.<schema>.<table>``."""
    whole = message.topic.removesuffix(f".{message.table}")
    return whole if whole != message.topic else message.topic.partition(".")[0]


def as_mapping(position: Position) -> Mapping[str, int]:
    """A position with JSON's keys: ``{"topic[0]": 5}``."""
    return {f"{topic}[{partition}]": offset for (topic, partition), offset in position.items()}


def from_mapping(stored: Mapping[str, int]) -> dict[TopicPartition, int]:
    position: dict[TopicPartition, int] = {}
    for name, offset in stored.items():
        topic, _, partition = name.removesuffix("]").rpartition("[")
        position[topic, int(partition)] = offset
    return position
