"""A small shop's events as records, and a pipeline's loop in miniature."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from sqlalchemy import Engine

from eventstore.model.codec import encode, event_id
from eventstore.model.message import Event
from eventstore.model.record import Record
from eventstore.sql.engine import reading, writing
from eventstore.sql.rows import to_record

START = datetime(2026, 3, 1, tzinfo=UTC)


class Recorder:
    """Makes records of events, stream by stream, in one partition of a category's topic."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self._versions: dict[str, count[int]] = {}

    def __call__(self, stream: str, *events: Event) -> list[Record]:
        made = [self._record(stream, event) for event in events]
        self.records += made
        return made

    def _record(self, stream: str, event: Event) -> Record:
        version = next(self._versions.setdefault(stream, count(1)))
        offset = len(self.records)
        at = START + timedelta(seconds=offset)
        new = encode(event, event_id(stream, version))
        place = (f"shop.{stream.partition('-')[0]}", 0, offset, stream, version)
        return to_record("shop", (*place, new.id, new.type, new.schema, at, new.data.decode(), "{}"))


class Drive:
    """Hands records to a handler as a pipeline does: admit, prepare, write, committed."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def start(self, handler: Any) -> None:
        with writing(self.engine) as connection:
            (handler.tables if hasattr(handler, "tables") else handler).create(connection)
        with reading(self.engine) as connection:
            handler.reset(connection)

    def __call__(self, handler: Any, records: Sequence[Record], size: int | None = None) -> None:
        for start in range(0, len(records), size or max(len(records), 1)):
            self.batch(handler, records[start : start + (size or len(records))])

    def batch(self, handler: Any, records: Iterable[Record]) -> None:
        items = [item for record in records if (item := handler.admit(record)) is not None]
        with reading(self.engine) as connection:
            work = handler.prepare(items, connection)
        with writing(self.engine) as connection:
            work.write(connection)
        work.committed()

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with reading(self.engine) as connection:
            return [tuple(row) for row in connection.exec_driver_sql(statement, ())]


@pytest.fixture
def record() -> Recorder:
    return Recorder()


@pytest.fixture
def drive(engine: Engine) -> Drive:
    return Drive(engine)


@pytest.fixture
def statements(engine: Engine) -> Callable[[], list[str]]:
    """What was sent to the database since the last call."""
    from sqlalchemy import event

    sent: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        sent.append(statement)

    def taken() -> list[str]:
        found = [one for one in sent if not one.startswith("BEGIN")]
        sent.clear()
        return found

    return taken
