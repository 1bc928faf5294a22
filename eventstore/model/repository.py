"""Loading aggregates: the newest fitting snapshot, then the events after it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Generic, TypeVar

import orjson
from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from eventstore.model.aggregate import Aggregate, apply
from eventstore.model.codec import decode
from eventstore.model.fingerprint import fingerprint
from eventstore.model.log import EventLog, Snapshot, SnapshotStore
from eventstore.model.record import Record

A = TypeVar("A", bound=Aggregate)
_log = logging.getLogger("headwater.snapshots")


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
        _replay(loaded, self._log.read_stream(stream, until=version, at=at))
        return loaded

    def refresh(self, loaded: Loaded[A], stream: str) -> bool:
        """Apply what was appended since; whether there was anything."""
        before = loaded.version
        _replay(loaded, self._log.read_stream(stream, after=before))
        return loaded.version != before

    def snapshot(self, taken: Sequence[tuple[str, Loaded[A]]]) -> None:
        """Store the states as they are, those that would be read back equal. A missing one costs time, no more."""
        try:
            self._snapshots.save(
                [made for stream, loaded in sorted(taken, key=_stream) if (made := _take(stream, loaded))]
            )
        except Exception:
            _log.warning("could not store a snapshot of %s", [stream for stream, _ in taken], exc_info=True)

    def _begin(self, aggregate: type[A], stream: str) -> Loaded[A]:
        kept = self._snapshots.load(stream, shape(aggregate)) if aggregate.snapshot_every else None
        if kept is not None:
            try:
                return Loaded(aggregate.model_validate_json(kept.state), kept.version)
            except ValidationError:
                _log.warning(
                    "ignored the snapshot of %s: it does not fit %s", stream, aggregate.__name__, exc_info=True
                )
        return Loaded(aggregate(), 0)


def _replay(loaded: Loaded[A], records: Iterable[Record]) -> None:
    state, last = loaded.state, None
    try:
        for record in records:
            event = decode(record)
            apply(state, event)
            last = event
    finally:  # also when the log breaks off: state and version belong together
        if last is not None:
            loaded.version = last.meta.version


def _stream(taken: tuple[str, object]) -> str:
    return taken[0]


def _take(stream: str, loaded: Loaded[A]) -> Snapshot | None:
    """The snapshot of a state, unless its JSON form would lose something."""
    kind = type(loaded.state)
    try:
        state = kind.__pydantic_serializer__.to_json(loaded.state)
        if kind.__pydantic_validator__.validate_json(state) == loaded.state:
            return Snapshot(stream, loaded.version, shape(kind), state)
        why = "it would not be read back equal"
    except (PydanticSerializationError, ValidationError, UnicodeEncodeError) as error:
        why = str(error)
    _log.warning("no snapshot of %s is kept: %s; use fields that JSON carries, or snapshot_every=0", stream, why)
    return None


@cache
def shape(aggregate: type[Aggregate]) -> str:
    """What a snapshot depends on: the fields of the state and the code that applies events to it."""
    fields = orjson.dumps(aggregate.model_json_schema(mode="serialization"), option=orjson.OPT_SORT_KEYS)
    appliers = sorted(fingerprint(applier) for applier in aggregate.appliers.values())
    return hashlib.sha256(fields + "".join(appliers).encode()).hexdigest()[:32]
