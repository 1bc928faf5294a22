"""An application: aggregates, projections and ingests, on one database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import datetime
from typing import TypeAlias, TypeVar, Unpack

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from eventstore.errors import NotFound
from eventstore.model.aggregate import Aggregate
from eventstore.model.codec import decode
from eventstore.model.log import ANY, ExpectedVersion, StreamInfo
from eventstore.model.message import Command, Event
from eventstore.model.record import Position
from eventstore.model.repository import Loaded
from eventstore.model.request import Receipt, request
from eventstore.model.stream import stream_name, topic_name
from eventstore.sql.engine import reading, writing
from eventstore.sql.faults import available
from headwater import appending, futures, pipelines
from headwater.aio import Aio
from headwater.context import Context
from headwater.guard import inside_transaction, outside_transaction
from headwater.operations import Operations
from headwater.parts import AnyProjection, Part
from projections import Projection, SqlProjection, get

A = TypeVar("A", bound=Aggregate)
R = TypeVar("R")
Wait: TypeAlias = AnyProjection | str | Sequence[AnyProjection | str] | None


class App(Operations):
    """``App("shop", Order, summary, legacy)``: what an application consists of, and everything done with it.

    ``parts`` are aggregate classes, projections and ingests. ``database`` and ``partitions`` override the
    settings (see :mod:`headwater.settings`). Nothing is opened before the first use, which makes the tables
    that are missing. Use it from any thread; after a fork the child opens its own connections.
    """

    def __init__(self, name: str, *parts: Part, database: str | None = None, partitions: int | None = None) -> None:
        super().__init__(name, *parts, database=database, partitions=partitions)
        self.aio = Aio(self)

    # ---------------------------------------------------------------- commands

    def execute(
        self,
        command: Command,
        *,
        wait: Wait = None,
        timeout: float = 5.0,
        expected: int | None = None,
        **context: Unpack[Context],
    ) -> Receipt:
        """Run ``command`` and return its receipt; or raise what it was refused with.

        ``wait``: a projection, its name, or several, that must show the outcome before this returns, within
        ``timeout`` seconds; the command is stored in any case. ``expected``: the version its stream must be at.
        The rest, among it ``id`` which makes the command idempotent: :class:`~headwater.context.Context`.

        :class:`Rejected`, :class:`VersionConflict`, :class:`CommandIdReused`, :class:`NotStorable`,
        :class:`Parked`, :class:`WaitTimeout`, :class:`Unavailable`.
        """
        outside_transaction("execute")
        wanted = self._wanted(wait)
        made = request(self.parts.aggregate_for(type(command)), command, expected=expected, **context)
        receipt = self.resources.commands.execute(made)
        if wanted:
            self._arrival(wanted, receipt, timeout).result()
        return receipt

    def submit(
        self,
        command: Command,
        *,
        wait: Wait = None,
        timeout: float = 5.0,
        expected: int | None = None,
        **context: Unpack[Context],
    ) -> Future[Receipt]:
        """:meth:`execute` without waiting for it: the same arguments, and a future of the receipt."""
        outside_transaction("submit")
        wanted = self._wanted(wait)
        made = request(self.parts.aggregate_for(type(command)), command, expected=expected, **context)
        decided = self.resources.commands.submit(made)
        if not wanted:
            return decided
        return futures.then(
            decided,
            lambda receipt: futures.after(self._arrival(wanted, receipt, timeout), lambda _: receipt),
        )

    # ---------------------------------------------------------------- reading

    def get(
        self, projection: Projection[R], key: object, *, after: Receipt | Position | None = None, timeout: float = 5.0
    ) -> R | None:
        """The row of ``key`` in a read model, or None. ``after``: not before it shows that receipt.

        A composite key is a tuple. :class:`Parked`, :class:`WaitTimeout`.
        """
        self.parts.projection(projection)
        if after is not None:
            self._arrival([projection], after, timeout).result()
        return self._read_row(projection, key)

    def submit_get(
        self, projection: Projection[R], key: object, *, after: Receipt | Position | None = None, timeout: float = 5.0
    ) -> Future[R | None]:
        """:meth:`get` as a future."""
        self.parts.projection(projection)
        readers = self.resources.readers
        arrived = self._arrival([projection], after, timeout) if after is not None else futures.done(None)
        return futures.then(arrived, lambda _: readers.submit(self._read_row, projection, key))

    def wait(self, projections: Wait, after: Receipt | Position, *, timeout: float = 5.0) -> None:
        """Return when these projections show what ``after`` reached."""
        self._arrival(self._wanted(projections), after, timeout).result()

    def state(self, aggregate: type[A], key: object, *, version: int | None = None, at: datetime | None = None) -> A:
        """The state of an aggregate: now, as of a version, or as of a time. :class:`NotFound`."""
        return self.load(aggregate, stream_name(aggregate.category, key), version=version, at=at).state

    def load(
        self, aggregate: type[A], stream: str, *, version: int | None = None, at: datetime | None = None
    ) -> Loaded[A]:
        """:meth:`state` by the stream's name, with the version it is at."""
        repository = self.resources.repository
        if version is None and at is None:
            loaded = repository.load(aggregate, stream)
        else:
            loaded = repository.load_as_of(aggregate, stream, version=version, at=at)
        if not loaded.version:
            then = f" as of {at.isoformat()}" if at is not None else ""
            raise NotFound(
                f"there is no stream {stream}{then}", "", f"headwater stream list --category {aggregate.category}"
            )
        if version is not None and loaded.version < version and at is None:
            raise NotFound(f"{stream} has no version {version}", f"it is at {loaded.version}")
        return loaded

    def events(
        self,
        stream: str,
        *,
        after: int = 0,
        until: int | None = None,
        at: datetime | None = None,
        backwards: bool = False,
        limit: int | None = None,
    ) -> Iterator[Event]:
        """The events of one stream, with their metadata: versions ``after < version <= until``."""
        log = self.resources.log
        records = log.read_stream(stream, after=after, until=until, at=at, backwards=backwards, limit=limit)
        return (decode(record) for record in records)

    def streams(self, category: str, *, after: str = "", limit: int = 100) -> list[StreamInfo]:
        """Streams of a category by name, those after ``after``."""
        return self.resources.log.streams(category, after=after, limit=limit)

    def session(self) -> Session:
        """A SQLAlchemy session for querying read models: ``with app.session() as s: s.scalars(select(Model))``."""
        return Session(self.resources.engine)

    # ---------------------------------------------------------------- the caller's own transaction

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction of the caller's, for rows of its own and, last, :meth:`append`; committed at the end.

        Waiting for anything else of headwater inside it could wait for itself, so ``execute``, ``submit``,
        ``get(after=…)`` and ``wait`` raise there.
        """
        outside_transaction("transaction")
        engine = self.resources.engine
        with available(engine), writing(engine) as connection, inside_transaction():
            yield connection

    def append(
        self,
        events: Mapping[str, Sequence[Event]],
        *,
        expected: ExpectedVersion | Mapping[str, ExpectedVersion] = ANY,
        connection: Connection | None = None,
        **context: Unpack[Context],
    ) -> dict[str, Receipt]:
        """Store events that no aggregate decided: ``{stream: events}``, all of them or none.

        ``expected``: of every stream, or of each by name. ``connection``: write within that transaction, as
        its last statement; only one append fits into a transaction, because it locks what it needs at once.
        Without it there is a transaction for them alone. The rest: :class:`~headwater.context.Context`.
        :class:`VersionConflict`, :class:`CommandIdReused`.
        """
        log = self.resources.log
        if connection is not None:
            return appending.append(log, self.parts, events, expected, connection, context)
        with self.transaction() as own:
            return appending.append(log, self.parts, events, expected, own, context)

    # ---------------------------------------------------------------- inside

    def _read_row(self, projection: Projection[R], key: object) -> R | None:
        engine = self.resources.engine
        with available(engine), reading(engine) as connection:
            return get(projection, key, connection)

    def _wanted(self, wait: Wait) -> list[AnyProjection]:
        """The projections to wait for. What is none is found before a command is stored, not after."""
        given = [] if wait is None else [wait] if isinstance(wait, (str, Projection, SqlProjection)) else wait
        return [self.parts.projection(one) for one in given]

    def _arrival(self, projections: Sequence[AnyProjection], after: Receipt | Position, timeout: float) -> Future[None]:
        """A future that is done when all of ``projections`` show what ``after`` reached."""
        outside_transaction("waiting for a projection")
        position, first = _span(after)
        waits, arrived = self.resources.waits, futures.done(None)
        for found in projections:
            topics = {topic_name(self.name, category) for category in self.parts.read_by(found)}
            target = {partition: offset for partition, offset in position.items() if partition[0] in topics}
            wait = waits.submit(found.name, pipelines.GENERATION, target, timeout, first=first)
            arrived = futures.both(arrived, wait)
        return arrived


def _span(after: Receipt | Position) -> tuple[Position, Position | None]:
    """The position to wait for and, of a receipt, where its events begin."""
    if not isinstance(after, Receipt):
        return after, None
    return after.position, {partition: end - len(after.events) for partition, end in after.position.items()}
