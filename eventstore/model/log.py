"""The contract of a log: what every backend promises. ``tests/contract/`` holds each promise as a case."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Final, Protocol, TypeAlias

from eventstore.errors import CommandIdReused, VersionConflict
from eventstore.model.codec import NewEvent
from eventstore.model.record import Position, Record, TopicPartition


class Expect(Enum):
    """What may be expected of a stream other than an exact version."""

    NO_STREAM = "no stream"
    """It does not exist yet."""
    EXISTS = "an existing stream"
    """It exists, at whatever version."""
    ANY = "any version"
    """Nothing is expected: an append that cannot conflict."""

    def __str__(self) -> str:
        return self.value


NO_STREAM: Final = Expect.NO_STREAM
EXISTS: Final = Expect.EXISTS
ANY: Final = Expect.ANY
ExpectedVersion: TypeAlias = int | Expect


@dataclass(slots=True)
class Append:
    """Events for one stream, stored all or none.

    ``headers`` are shared by its events (see :func:`eventstore.model.codec.meta_headers`). ``digest`` tells
    a repeated command from another one under the same id; empty: any repetition is taken for the same.
    ``chained``: it was decided on the outcome of the stream's former append in the same call, and is
    refused if that one is refused or was only a repetition.
    """

    stream: str
    events: Sequence[NewEvent]
    expected: ExpectedVersion
    at: datetime
    headers: Mapping[str, str] = field(default_factory=dict)
    digest: str = ""
    chained: bool = False


@dataclass(frozen=True, slots=True)
class Appended:
    """Where an append went: versions ``first`` … ``last`` at consecutive offsets from ``offset``.

    ``repeated``: its ids were stored before; this is where the first one went, and nothing was written.
    """

    stream: str
    first: int
    last: int
    partition: TopicPartition
    offset: int
    repeated: bool = False

    @property
    def position(self) -> Position:
        return {self.partition: self.offset + self.last - self.first + 1}


Outcome: TypeAlias = Appended | VersionConflict | CommandIdReused


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """One stream in an overview."""

    stream: str
    version: int
    partition: int
    last_at: datetime


class EventLog(Protocol):
    """Keeps streams of events.

    - Versions of a stream are 1, 2, 3 … without gaps; offsets of a partition follow the order of commits,
      so a reader that continues from the last offset it saw never misses a record.
    - An append is stored whole or not at all, and one append's refusal does not touch the others of a call.
    - Event ids are unique in a topic: appending known ids again gives the first outcome.
    """

    def create_topics(self, partitions: Mapping[str, int]) -> None:
        """Make the topics of these categories, unless they exist; a differing partition count is refused."""

    def append(self, appends: Sequence[Append], connection: Any = None) -> list[Outcome]:
        """Store ``appends``, in order; one outcome each.

        ``connection``: the caller's own open transaction to write in (a SQL log on the same database only),
        as its last statement; the caller commits.
        """

    def read_stream(
        self,
        stream: str,
        *,
        after: int = 0,
        until: int | None = None,
        at: datetime | None = None,
        backwards: bool = False,
        limit: int | None = None,
    ) -> Iterator[Record]:
        """The records of ``stream`` with ``after < version <= until``, stored no later than ``at``."""

    def repeated(self, stream: str, event_id: str) -> tuple[Appended, str] | None:
        """Where the append whose first event has this id went, with its digest; None if it is not known."""

    def streams(self, category: str, *, after: str = "", limit: int = 100) -> list[StreamInfo]:
        """Streams of a category by name, those after ``after``."""

    def source(self, categories: Iterable[str]) -> Source:
        """A reader of the topics of these categories."""


class Source(Protocol):
    """Yields records from a position.

    A position outside what is kept raises :class:`~eventstore.errors.PositionOutsideLog`.
    """

    def partitions(self) -> Sequence[TopicPartition]:
        """What there is to read."""

    def ends(self) -> Position:
        """One past the last record of every partition, now."""

    def read(self, position: Position, limit: int) -> list[Record]:
        """Up to ``limit`` records of the partitions that ``position`` names, from there on; [] when there is none.

        Within a partition they come in the order of offsets, without gaps between calls.
        """

    def wait(self, position: Position, timeout: float) -> None:
        """Return as soon as there may be something past ``position``, at the latest after ``timeout`` seconds."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of an aggregate as of a version; ``shape`` tells whether it still fits the code."""

    stream: str
    version: int
    shape: str
    state: bytes


class SnapshotStore(Protocol):
    """Keeps the newest snapshot of each stream. Losing one costs time, nothing else."""

    def load(self, stream: str, shape: str) -> Snapshot | None: ...

    def save(self, snapshots: Sequence[Snapshot]) -> None: ...
