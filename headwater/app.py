"""An application: aggregates, projections and ingests, on one database."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar, Unpack

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
from eventstore.model.stream import check_app_name, stream_name
from eventstore.pipeline import (
    DeadLetter,
    DeadLetters,
    OnProgress,
    Pipeline,
    PipelineStatus,
    Worker,
    catch_up,
    rebuild,
    statuses,
)
from eventstore.sql.engine import available, reading, writing
from headwater import appending, futures, pipelines
from headwater.aio import Aio
from headwater.context import Context
from headwater.guard import inside_transaction, outside_transaction
from headwater.ingesting import FileProgress, IngestSummary, ingest_files
from headwater.parts import AnyProjection, Part, Parts, sort_parts
from headwater.preparing import prepare
from headwater.resources import Resources
from headwater.settings import Loaded as LoadedSettings
from headwater.settings import load_settings
from projections import Explanation, Projection, explain, get

A = TypeVar("A", bound=Aggregate)
R = TypeVar("R")
Wait: TypeAlias = AnyProjection | Sequence[AnyProjection] | None


class App:
    """``App("shop", Order, summary, legacy)``: what an application consists of, and everything done with it.

    ``parts`` are aggregate classes, projections and ingests. ``database`` and ``partitions`` override the
    settings (see :mod:`headwater.settings`). Nothing is opened before the first use, which makes the tables
    that are missing. Use it from any thread; after a fork the child opens its own connections.
    """

    def __init__(self, name: str, *parts: Part, database: str | None = None, partitions: int | None = None) -> None:
        self.name = check_app_name(name)
        self.parts: Parts = sort_parts(parts)
        self._database, self._partitions = database, partitions
        self._opening = threading.Lock()
        self._resources: Resources | None = None
        self.aio = Aio(self)

    def __repr__(self) -> str:
        return f"App({self.name!r})"

    # ---------------------------------------------------------------- settings and what is open

    @cached_property
    def configuration(self) -> LoadedSettings:
        """The settings, with the origin of each."""
        return load_settings()

    @property
    def database(self) -> str:
        """The URL of the database. It may hold a password: do not print it."""
        return self._database or self.configuration.settings.database or f"sqlite:///{self.name}.db"

    @property
    def partitions(self) -> int:
        """The number of partitions of each topic."""
        return self._partitions or self.configuration.settings.partitions

    @property
    def is_open(self) -> bool:
        """Whether this process has the database open."""
        return self._resources is not None and not self._resources.inherited

    @property
    def resources(self) -> Resources:
        """The open database. The first use prepares it."""
        found = self._resources
        if found is not None and not found.inherited:
            return found
        with self._opening:
            if self._resources is not None and self._resources.inherited:
                self._resources.abandon()
                self._resources = None
            if self._resources is None:
                opened = Resources(self.name, self.database)
                try:
                    prepare(opened, self.parts, self.partitions)
                except BaseException:
                    opened.close()
                    raise
                self._resources = opened
            return self._resources

    def prepare(self) -> None:
        """Make or migrate headwater's tables, the topics, and the tables of read models. Costs little when done."""
        prepare(self.resources, self.parts, self.partitions)

    def close(self) -> None:
        """Finish what was submitted and close every connection. The next use opens it again."""
        with self._opening:
            open_, self._resources = self._resources, None
        if open_ is not None:
            open_.abandon() if open_.inherited else open_.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

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

        ``wait``: a projection (or several) that must show the outcome before this returns, within ``timeout``
        seconds. ``expected``: the version its stream must be at. The rest, among it ``id`` which makes the
        command idempotent: :class:`~headwater.context.Context`.

        :class:`Rejected`, :class:`VersionConflict`, :class:`CommandIdReused`, :class:`NotStorable`,
        :class:`Parked`, :class:`WaitTimeout`, :class:`Unavailable`.
        """
        outside_transaction("execute")
        made = request(self.parts.aggregate_for(type(command)), command, expected=expected, **context)
        receipt = self.resources.commands.execute(made)
        if wait is not None:
            self._arrival(wait, receipt.position, timeout).result()
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
        made = request(self.parts.aggregate_for(type(command)), command, expected=expected, **context)
        decided = self.resources.commands.submit(made)
        if wait is None:
            return decided
        return futures.then(
            decided,
            lambda receipt: futures.after(self._arrival(wait, receipt.position, timeout), lambda _: receipt),
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
            self._arrival(projection, _position(after), timeout).result()
        return self._read_row(projection, key)

    def submit_get(
        self, projection: Projection[R], key: object, *, after: Receipt | Position | None = None, timeout: float = 5.0
    ) -> Future[R | None]:
        """:meth:`get` as a future."""
        self.parts.projection(projection)
        readers = self.resources.readers
        arrived = self._arrival(projection, _position(after), timeout) if after is not None else futures.done(None)
        return futures.then(arrived, lambda _: readers.submit(self._read_row, projection, key))

    def wait(self, projections: Wait, after: Receipt | Position, *, timeout: float = 5.0) -> None:
        """Return when these projections show what ``after`` reached."""
        self._arrival(projections, _position(after), timeout).result()

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

    # ---------------------------------------------------------------- pipelines

    def pipelines(self, *projections: AnyProjection | str) -> list[Pipeline]:
        """The pipelines of these projections, or of these names; without any, all, those of ingests included."""
        chosen = [self.parts.pipeline_name(projection) for projection in projections]
        return pipelines.build(self.resources, self.parts, self.configuration.settings, chosen)

    @contextmanager
    def running(self, on_progress: OnProgress | None = None) -> Iterator[Worker]:
        """Run every pipeline in threads for as long as the block lasts: in a web service, or a test."""
        resources = self.resources
        worker = Worker(resources.engine, resources.wakeup, self.pipelines(), on_progress=on_progress)
        worker.start()
        try:
            yield worker
        finally:
            worker.stop(self.configuration.settings.stop_seconds)

    def run(self, stop: threading.Event | None = None, on_progress: OnProgress | None = None) -> None:
        """Run every pipeline until ``stop`` is set."""
        stop = stop or threading.Event()
        with self.running(on_progress):
            stop.wait()

    def catch_up(
        self,
        *projections: AnyProjection | str,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
    ) -> None:
        """Run pipelines in this thread until nothing is left. :class:`PipelineError` when one stands still."""
        outside_transaction("catch_up")
        resources = self.resources
        catch_up(
            resources.engine, resources.wakeup, self.pipelines(*projections), on_progress=on_progress, timeout=timeout
        )

    def rebuild(self, projection: AnyProjection | str, on_progress: OnProgress | None = None) -> None:
        """Empty a read model and fold it anew from the beginning of the log; returns when it has caught up.

        Its dead letters go, and come again if they still fail.
        """
        outside_transaction("rebuild")
        resources = self.resources
        (pipeline,) = self.pipelines(projection)
        rebuild(resources.engine, resources.wakeup, pipeline)
        pipelines.finish(resources, [pipeline], on_progress)

    def ingest(
        self,
        *files: str | Path,
        into: str | None = None,
        dry_run: bool = False,
        progress: FileProgress | None = None,
    ) -> list[IngestSummary]:
        """Ingest capture files, one after the other, and say what came of each.

        ``into`` names the ingest; needed only where the application has several. ``dry_run``: as if into an
        empty database, and nothing is kept. ``progress(file, records so far, records in it)``.
        """
        outside_transaction("ingest")
        return ingest_files(self, [Path(file) for file in files], into, dry_run, progress)

    def explain(self, projection: Projection[Any] | str, key: object) -> Explanation:
        """How a row came to be: every event that touched it, with the columns it changed."""
        found = self.parts.fold(projection)
        resources = self.resources
        with available(resources.engine), reading(resources.engine) as connection:
            return explain(found, key, resources.log.source(self.parts.categories), connection, resources.log)

    def status(self) -> list[PipelineStatus]:
        """Where every pipeline stands."""
        return statuses(self.resources.engine, self.pipelines())

    @property
    def dead_letters(self) -> DeadLetters:
        """What could not be handled, and what to do with it."""
        return self.resources.dead_letters

    def collapse(self, key: str, *, pipeline: str | None = None) -> DeadLetter:
        """Let the newest dead letter of a key stand for those before it, and retry it. :class:`Refused`."""
        handlers = {each.name: each.handler for each in self.pipelines()}
        return self.dead_letters.collapse(key, lambda name, record: handlers[name].whole(record), pipeline=pipeline)

    def work_off(self, names: Sequence[str]) -> None:
        """Return when these pipelines have worked off the dead letters that are due: here, or where they run."""
        outside_transaction("work_off")
        pipelines.finish(self.resources, self.pipelines(*names), None)

    # ---------------------------------------------------------------- inside

    def _read_row(self, projection: Projection[R], key: object) -> R | None:
        engine = self.resources.engine
        with available(engine), reading(engine) as connection:
            return get(projection, key, connection)

    def _arrival(self, projections: Wait, position: Position, timeout: float) -> Future[None]:
        """A future that is done when all of ``projections`` are at ``position``."""
        outside_transaction("waiting for a projection")
        wanted = projections if isinstance(projections, Sequence) else [projections] if projections else []
        waits, deadline = self.resources.waits, time.monotonic() + timeout
        arrived = futures.done(None)
        for projection in wanted:
            name = self.parts.projection(projection).name
            left = max(0.0, deadline - time.monotonic())
            arrived = futures.both(arrived, waits.submit(name, pipelines.GENERATION, position, left))
        return arrived


def _position(after: Receipt | Position) -> Position:
    return after.position if isinstance(after, Receipt) else after
