"""A log with one topic, and a handler that shows what was handled, how often, and in which order."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from sqlalchemy import Column, Connection, Engine, MetaData, Table, Text, select

from eventstore.errors import Undecodable
from eventstore.model.codec import NewEvent
from eventstore.model.log import ANY, Append
from eventstore.model.record import Record
from eventstore.pipeline import DeadLetters, Item, Options, Pipeline, catch_up
from eventstore.sql.engine import connect, create_schema, writing
from eventstore.sql.log import SqlEventLog
from eventstore.sql.schema import metadata
from eventstore.sql.wakeup import Wakeup

AT = datetime(2026, 1, 1, tzinfo=UTC)
tally = Table("tally", MetaData(), Column("key", Text, primary_key=True), Column("seen", Text, nullable=False))


class Broken(Exception):
    """What a handler with a bug raises."""


class TallyWork:
    def __init__(self, handler: Tally, rows: dict[str, list[int]]) -> None:
        self.handler, self.rows = handler, rows

    def write(self, connection: Connection) -> None:
        for key, seen in self.rows.items():
            connection.execute(tally.delete().where(tally.c.key == key))
            connection.execute(tally.insert(), {"key": key, "seen": json.dumps(seen)})
        if self.handler.on_write is not None:
            self.handler.on_write(connection, self.rows)

    def committed(self) -> None:
        self.handler.cache.update(self.rows)


class Tally:
    """Appends each record's number to the list of its key. Keeps what it committed in memory, as handlers may.

    ``broken``: numbers that raise. ``on_prepare``, ``on_write``: called with what is prepared and written.
    """

    shared = False
    fingerprint = "tally"

    def __init__(self) -> None:
        self.broken: set[int] = set()
        self.on_prepare: Callable[[list[int]], None] | None = None
        self.on_write: Callable[[Connection, dict[str, list[int]]], None] | None = None
        self.cache: dict[str, list[int]] = {}

    def reset(self, connection: Connection) -> None:
        self.cache = {}

    def clear(self, connection: Connection) -> None:
        connection.execute(tally.delete())

    def admit(self, record: Record, *, again: bool = False) -> Item | None:
        try:
            number = json.loads(record.value or b"")["n"]
        except (ValueError, TypeError, KeyError) as error:
            raise Undecodable("no number in it", str(error)) from error
        return Item(record, number)

    def keys(self, record: Record, item: Item | None, connection: Connection) -> Sequence[str]:
        return [record.headers["ce_subject"]]

    def prepare(self, items: Sequence[Item], connection: Connection) -> TallyWork:
        if self.on_prepare is not None:
            self.on_prepare([item.content for item in items])
        rows: dict[str, list[int]] = {}
        for item in items:
            if item.content in self.broken:
                raise Broken(f"cannot handle {item.content}")
            key = item.record.headers["ce_subject"]
            if key not in rows:
                rows[key] = list(self.cache[key] if key in self.cache else stored(connection, key))
            rows[key].append(item.content)
        return TallyWork(self, rows)

    def whole(self, record: Record) -> bool:
        return True


def stored(connection: Connection, key: str) -> list[int]:
    seen = connection.scalar(select(tally.c.seen).where(tally.c.key == key))
    return [] if seen is None else json.loads(seen)


class Bench:
    """A log, one pipeline over it, and what an operator has."""

    def __init__(self, engine: Engine, partitions: int = 2) -> None:
        self.engine, self.wakeup = engine, Wakeup(engine)
        self.log = SqlEventLog(engine, "test", self.wakeup)
        self.log.create_topics({"thing": partitions})
        tally.create(engine, checkfirst=True)
        self.handler = Tally()
        self.letters = DeadLetters(engine, self.wakeup)
        self._numbers = count(1)

    def append(self, key: str, *numbers: int, data: bytes | None = None) -> list[int]:
        """Append a record for each number (default: the next one) to the stream ``thing-<key>``."""
        chosen = list(numbers) or [next(self._numbers)]
        events = [NewEvent(f"{key}/{n}", "thing", 1, data or json.dumps({"n": n}).encode()) for n in chosen]
        self.log.append([Append(f"thing-{key}", events, ANY, AT)])
        return chosen

    def pipeline(self, handler: Any = None, name: str = "tally", **options: Any) -> Pipeline:
        return Pipeline(name, self.log.source(["thing"]), handler or self.handler, options=Options(**options))

    def catch_up(self, **options: Any) -> None:
        catch_up(self.engine, self.wakeup, [self.pipeline(**options)], timeout=20)

    def seen(self) -> dict[str, list[int]]:
        """What the table holds, by key."""
        with self.engine.connect() as connection:
            rows = connection.execute(select(tally.c.key, tally.c.seen)).all()
        return {key.removeprefix("thing-"): json.loads(seen) for key, seen in rows}

    def states(self) -> list[tuple[str, str]]:
        """The open dead letters as (number in the record, state), in their order."""
        return [(json.loads(letter.record.value or b"")["n"], str(letter.state)) for letter in self.letters.list()]


@pytest.fixture
def bench(engine: Engine) -> Iterator[Bench]:
    made = Bench(engine)
    yield made
    made.wakeup.close()


@pytest.fixture
def new_bench() -> Iterator[Callable[[str], Bench]]:
    """Makes a bench on the database at a URL."""
    made: list[Bench] = []

    def make(url: str) -> Bench:
        engine = connect(url)
        with writing(engine) as connection:
            create_schema(connection)
            metadata.create_all(connection)
        made.append(Bench(engine))
        return made[-1]

    yield make
    for one in made:
        one.wakeup.close()
        one.engine.dispose()


@pytest.fixture
def sqlite_bench(sqlite_url: str, new_bench: Callable[[str], Bench]) -> Bench:
    return new_bench(sqlite_url)


@pytest.fixture
def postgres_bench(postgres_url: str, new_bench: Callable[[str], Bench]) -> Bench:
    return new_bench(postgres_url)
