"""What is in a capture file, table by table, without an application."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cdc.capture import CaptureSource
from cdc.decode import Decoder
from cdc.message import Column, RowMessage, SideMessage
from eventstore.errors import HandlingError, PipelineError
from eventstore.model.record import CAPTURE_TOPIC, Record

SHOWN_FAULTS = 100
_BATCH = 500


@dataclass(slots=True)
class TableSummary:
    """One table. ``ops`` counts its changes by op; ``columns`` are the newest ones, None without a schema
    (then ``names`` has what the rows had); ``versions`` counts the shapes its rows had."""

    table: str
    topics: list[str] = field(default_factory=list)
    ops: dict[str, int] = field(default_factory=dict)
    tombstones: int = 0
    key: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    columns: tuple[Column, ...] | None = None
    versions: int = 0
    first: datetime | None = None
    last: datetime | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """A record that cannot be decoded: ``record`` counts from 1."""

    record: int
    topic: str
    why: str


@dataclass(slots=True)
class Inspection:
    """A capture file. ``sides`` counts messages that are no changes by kind; ``faults`` holds the first 100
    of ``faulty`` records; ``broken`` says why and where reading ended early, if it did."""

    path: Path
    records: int = 0
    tables: dict[str, TableSummary] = field(default_factory=dict)
    sides: dict[str, int] = field(default_factory=dict)
    faulty: int = 0
    faults: list[Fault] = field(default_factory=list)
    broken: str | None = None


def inspect(path: str | Path) -> Inspection:
    """Read a whole capture file. Raises what opening it raises; damage further on is in ``broken``."""
    with CaptureSource(path) as source:
        reading = _Reading(Inspection(source.path))
        try:
            while records := source.read({(source.topic, 0): reading.found.records}, _BATCH):
                for record in records:
                    reading.take(record)
        except PipelineError as error:
            reading.found.broken = f"{error.what}: {error.why}"
    return reading.finish()


class _Reading:
    """An inspection under way."""

    def __init__(self, found: Inspection) -> None:
        self.found = found
        self._decoder = Decoder()
        self._tombstones: Counter[str] = Counter()
        self._shapes: dict[str, set[tuple[str, ...] | tuple[Column, ...]]] = {}

    def take(self, record: Record) -> None:
        found = self.found
        found.records += 1
        try:
            message = self._decoder.decode(record)
        except HandlingError as error:
            found.faulty += 1
            if len(found.faults) < SHOWN_FAULTS:
                topic = record.headers.get(CAPTURE_TOPIC, "")
                found.faults.append(Fault(found.records, topic, error.why))
            return
        if isinstance(message, SideMessage):
            found.sides[message.kind] = found.sides.get(message.kind, 0) + 1
            if message.kind == "tombstone":
                self._tombstones[message.topic] += 1
        else:
            self._change(message)

    def _change(self, message: RowMessage) -> None:
        summary = self.found.tables.setdefault(message.table, TableSummary(message.table))
        if message.topic not in summary.topics:
            summary.topics.append(message.topic)
        summary.ops[message.op] = summary.ops.get(message.op, 0) + 1
        if message.key is not None:
            summary.key = list(message.key)
        row = message.after if message.after is not None else message.before
        shape = message.columns if message.columns is not None else tuple(row or ())
        if shape:
            self._shapes.setdefault(message.table, set()).add(shape)
            summary.columns = message.columns
            summary.names = [column.name for column in message.columns] if message.columns else list(row or ())
        if message.at is not None:
            summary.first = message.at if summary.first is None else min(summary.first, message.at)
            summary.last = message.at if summary.last is None else max(summary.last, message.at)

    def finish(self) -> Inspection:
        for summary in self.found.tables.values():
            summary.versions = len(self._shapes.get(summary.table, ()))
            summary.tombstones = sum(self._tombstones[topic] for topic in summary.topics)
        return self.found
