"""An ingest as a pipeline's handler: a batch of records becomes row images, mirrors and events."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import orjson
from sqlalchemy import Connection

from cdc.decode import Decoder
from cdc.held import Delivery
from cdc.images import Images
from cdc.ingest import Ingest
from cdc.memory import Memory
from cdc.message import UNCHANGED, RowMessage
from cdc.mirror import Mirrors, MirrorWork
from cdc.resolve import Resolver, image_keys
from cdc.rows import key_text
from cdc.translate import appends
from eventstore.errors import CommandIdReused, DeclarationError, Refused, Undecodable, VersionConflict
from eventstore.model.log import Append, EventLog
from eventstore.model.record import CAPTURE_OFFSET, CAPTURE_TOPIC, Position, Record
from eventstore.pipeline.handler import Item

_LARGEST, _LARGEST_PARTITION = 1 << 63, 1 << 31


@dataclass(slots=True)
class IngestWork:
    """What a batch comes to. Events are appended last: from there on the log's heads are locked."""

    images: Images
    memory: Memory
    truncations: set[str]
    mirrors: MirrorWork
    log: EventLog
    appends: list[Append]

    def write(self, connection: Connection) -> None:
        self.images.write(connection)
        self.memory.write(connection, self.truncations)
        self.mirrors.write(connection)
        if self.appends:
            for outcome in self.log.append(self.appends, connection=connection):
                if isinstance(outcome, (VersionConflict, CommandIdReused)):
                    raise outcome

    def committed(self) -> None:
        self.images.settle()
        self.memory.settle()
        self.mirrors.committed()


class IngestHandler:
    """Implements :class:`~eventstore.pipeline.handler.Handler` for an :class:`~cdc.ingest.Ingest`.

    ``log`` takes the events. ``ends`` tells where the topics end now (a source's ``ends``): then partitions
    without live changes pass a snapshot too; without it, only what comes before the snapshot's last row is
    waited for. The pipeline is called as the ingest.
    """

    shared = False
    fingerprint = ""

    def __init__(self, ingest: Ingest, log: EventLog, ends: Callable[[], Position] | None = None) -> None:
        self._ingest, self._log = ingest, log
        declared = {name: table.types for name, table in ingest.tables.items() if table.types}
        self._decoder = Decoder(declared, placeholder=ingest.placeholder, max_bytes=ingest.max_bytes)
        self._images = Images(ingest.name)
        self._memory = Memory(ingest.name, ends)
        self._mirrors = Mirrors(ingest)

    def reset(self, connection: Connection) -> None:
        self._images.forget()
        self._memory.load(connection)
        self._mirrors.load(connection)

    def clear(self, connection: Connection) -> None:
        """An ingest cannot begin anew: what it appended is history."""
        raise DeclarationError(
            f"ingest {self._ingest.name} cannot be rebuilt",
            "its events are in the log, and folded and answered for; another pass would append them once more",
            "rebuild the projections that read them; for another source, declare an ingest with a name of its own",
        )

    def admit(self, record: Record, *, again: bool = False) -> Item | None:
        """Decode; recognise what was delivered before; find what is declared for the table."""
        memory = self._memory
        if not again:
            memory.snapshots.read[record.topic, record.partition] = record.offset + 1
        try:
            message = self._decoder.decode(record)
        except Undecodable:
            memory.snapshots.spare(self._keyed(record))
            raise
        if not isinstance(message, RowMessage):
            return None
        _check_storable(message)
        if not again and (memory.watermarks.is_redelivery(message) or not memory.snapshots.admit(message, record)):
            return None
        if self._ingest.find(message) is None:
            return None
        _check_keyless(message)
        return Item(record, Delivery(message, _place(record, message)))

    def keys(self, record: Record, item: Item | None, connection: Connection) -> Sequence[str]:
        """Table and primary key, both keys of a re-key; the table for rows without one.

        Of a record that cannot be decoded: the same as far as its topic and its key tell, else its key's bytes.
        """
        message = item.content.message if item is not None else self._decoded(record) or self._keyed(record)
        if message is not None:
            return _row_keys(message)
        if record.key is None:
            return []
        topic = record.headers.get(CAPTURE_TOPIC, record.topic).encode(errors="backslashreplace").decode()
        return [f"{topic}#{hashlib.sha256(record.key).hexdigest()[:16]}"]

    def _keyed(self, record: Record) -> RowMessage | None:
        """What a record with a broken value is about: as if it were a delete of the row its key names."""
        topic = record.headers.get(CAPTURE_TOPIC, record.topic)
        table = next((name for name in self._ingest.tables if topic.endswith(f".{name}")), None)
        if table is None or record.key is None:
            return None
        schema, _, name = table.rpartition(".")
        source = {"schema": schema, "table": name}
        return self._decoded(record._replace(value=orjson.dumps({"op": "d", "before": None, "source": source})))

    def whole(self, record: Record) -> bool:
        """A row as it is, or its end, makes earlier changes of the key dispensable; a re-key or a part does not."""
        message = self._decoded(record)
        if message is None or message.key is None or message.new_key is not None or message.old_key is not None:
            return False
        return message.op == "d" or (message.after is not None and UNCHANGED not in message.after.values())

    def _decoded(self, record: Record) -> RowMessage | None:
        try:
            message = self._decoder.decode(record)
        except Undecodable:
            return None
        return message if isinstance(message, RowMessage) else None

    def prepare(self, items: Sequence[Item], connection: Connection) -> IngestWork:
        """Resolve the messages to changes, reconcile what has passed a snapshot, translate, plan the mirrors."""
        deliveries: list[Delivery] = [item.content for item in items]
        messages = [delivery.message for delivery in deliveries]
        memory, images = self._memory, self._images
        images.begin(connection, [*image_keys(messages), *memory.snapshots.seen])
        resolver = Resolver(images, memory.truncated, memory.snapshots.refutes)
        for delivery in deliveries:
            resolver.apply(delivery)
        memory.snapshots.reconcile(memory.watermarks, images, resolver)
        made: list[Append] = []
        for change in resolver.changes:
            declared = self._ingest.tables.get(change.table)
            if declared is not None and declared.translator is not None:
                made += appends(self._ingest.name, declared.translator, change)
        mirrors = self._mirrors.plan(messages, images)
        return IngestWork(images, memory, resolver.truncations, mirrors, self._log, made)


def _check_storable(message: RowMessage) -> None:
    """What names a place in the source is stored even when the record is not, so it must be storable."""
    numbers = (*(message.position or ()), message.partition)
    if any(n is not None and not 0 <= n < _LARGEST for n in numbers) or message.partition >= _LARGEST_PARTITION:
        raise Undecodable(
            f"a change of {message.table} stands at a place that no log has",
            f"its position is {message.position}, its partition {message.partition}",
            "look at what wrote the message: it is not Debezium",
        )
    for name in (message.table, message.topic):
        if "\x00" in name or any("\ud800" <= character <= "\udfff" for character in name):
            raise Undecodable(
                f"{name!r} cannot name a table or topic",
                "it holds what no text has: NUL, or bytes that are not UTF-8",
                "look at what wrote the message: it is not Debezium",
            )


def _check_keyless(message: RowMessage) -> None:
    """Rows without a key are told by their order alone, so it must be known."""
    if message.key is not None or message.op == "t":
        return
    if message.partition != 0:
        raise Refused(
            f"{message.table} has no key, and its topic {message.topic} more than one partition",
            "a row's insert and delete arrive in different partitions then, in any order",
            "give the topic one partition, or the table a primary key",
        )
    if message.op != "r" and (message.position is None or message.position.order is None):
        raise Refused(
            f"{message.table} has no key, and its changes no transaction metadata",
            "a second equal row cannot be told from the first one delivered twice",
            "set provide.transaction.metadata=true at the connector, or give the table a primary key",
        )


def _place(record: Record, message: RowMessage) -> str:
    offset = record.headers.get(CAPTURE_OFFSET, record.offset)
    return f"{message.topic}[{message.partition}]@{offset}"


def _row_keys(message: RowMessage | None) -> list[str]:
    if message is None:
        return []
    if message.key is None:
        return [message.table]
    keys = (message.key, message.new_key, message.old_key)
    return list(dict.fromkeys(f"{message.table}:{key_text(key)}" for key in keys if key is not None))
