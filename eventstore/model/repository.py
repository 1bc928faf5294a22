"""Loading aggregates: the newest fitting snapshot, then the events after it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Generic, TypeVar

import orjson

from eventstore.model.aggregate import Aggregate, apply
from eventstore.model.codec import decode
from eventstore.model.fingerprint import fingerprint
from eventstore.model.log import EventLog, Snapshot, SnapshotStore
from eventstore.model.record import Record

A = TypeVar("A", bound=Aggregate)


@dataclass(slots=True)
class Loaded(Generic[A]):
    """An aggregate's state as of a version (0: the stream does not exist)."""

    state: A
    version: int


class Repository:
    """Loads aggregates from a log."""

    def __init__(self, log: EventLog, snapshots: SnapshotStore) -> None:
        self._log, self._snapshots = log, snapshots

    def load(self, aggregate: type[A], stream: str) -> Loaded[A]:
        """The newest state. A long replay leaves a snapshot for the next load."""
        loaded = self._begin(aggregate, stream)
        before = loaded.version
        self.refresh(loaded, stream)
        if aggregate.snapshot_every and loaded.version - before >= aggregate.snapshot_every:
            self.snapshot([(stream, loaded)])
        return loaded

    def load_as_of(
        self, aggregate: type[A], stream: str, *, version: int | None = None, at: datetime | None = None
    ) -> Loaded[A]:
        """The state as of ``version`` or of the time ``at``, from the stream's beginning."""
        loaded = Loaded(aggregate(), 0)
        for record in self._log.read_stream(stream, until=version, at=at):
            _apply(loaded, record)
        return loaded

    def refresh(self, loaded: Loaded[A], stream: str) -> bool:
        """Apply what was appended since; whether there was anything."""
        before = loaded.version
        for record in self._log.read_stream(stream, after=before):
            _apply(loaded, record)
        return loaded.version != before

    def snapshot(self, taken: list[tuple[str, Loaded[A]]]) -> None:
        """Store the states as they are."""
        self._snapshots.save(
            [Snapshot(stream, one.version, shape(type(one.state)), _dump(one.state)) for stream, one in taken]
        )

    def _begin(self, aggregate: type[A], stream: str) -> Loaded[A]:
        if aggregate.snapshot_every:
            kept = self._snapshots.load(stream, shape(aggregate))
            if kept is not None:
                return Loaded(aggregate.model_validate_json(kept.state), kept.version)
        return Loaded(aggregate(), 0)


def _apply(loaded: Loaded[A], record: Record) -> None:
    event = decode(record)
    apply(loaded.state, event)
    loaded.version = event.meta.version


def _dump(state: Aggregate) -> bytes:
    return type(state).__pydantic_serializer__.to_json(state)


@lru_cache(maxsize=None)
def shape(aggregate: type[Aggregate]) -> str:
    """What a snapshot depends on: the fields of the state and the code that applies events to it."""
    fields = orjson.dumps(aggregate.model_json_schema(mode="serialization"), option=orjson.OPT_SORT_KEYS)
    appliers = sorted(fingerprint(applier) for applier in aggregate.appliers.values())
    return hashlib.sha256(fields + "".join(appliers).encode()).hexdigest()[:32]
