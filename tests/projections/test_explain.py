"""Explaining a row: each event that touched it, with what it changed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Mapped, mapped_column

from eventstore.model.codec import encode
from eventstore.model.log import ANY, Append
from eventstore.model.message import Event
from eventstore.pipeline import DeadLetters, Pipeline, catch_up, rebuild
from eventstore.sql.engine import reading, writing
from eventstore.sql.log import SqlEventLog
from eventstore.sql.wakeup import Wakeup
from projections import DELETE, Delete, Explanation, Projection, ProjectionHandler, ReadModel, explain


class Opened(Event, name="explain-opened"):
    owner: str


class Tagged(Event, name="explain-tagged"):
    tag: str


class Closed(Event, name="explain-closed"): ...


class OwnerMoved(Event, name="explain-owner-moved"):
    old: str
    new: str


class Account(ReadModel):
    __tablename__ = "explain_account"
    id: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    tags: Mapped[list[str]] = mapped_column(default=[])


accounts = Projection("explain-accounts", into=Account)


@accounts.on(Opened)
def opened(row: Account, event: Opened) -> None:
    row.owner = event.owner


@accounts.on(Tagged)
def tagged(row: Account, event: Tagged) -> None:
    if event.tag == "broken":
        raise ValueError("no such tag")
    row.tags.append(event.tag)


@accounts.on(Closed)
def closed(row: Account, event: Closed) -> Delete:
    return DELETE


@accounts.on(OwnerMoved, where=(Account.owner, lambda event: event.old))
def moved(row: Account, event: OwnerMoved) -> None:
    row.owner = event.new


class Bench:
    """A log of accounts and their projection."""

    def __init__(self, engine: Engine, projection: Projection[Any] = accounts) -> None:
        self.engine, self.projection, self.wakeup = engine, projection, Wakeup(engine)
        self.log = SqlEventLog(engine, "bank", self.wakeup)
        self.log.create_topics({"account": 2, "owner": 1})
        self.handler = ProjectionHandler(projection, categories=2)
        with writing(engine) as connection:
            self.handler.tables.create(connection)
        self._time = datetime(2026, 1, 1, tzinfo=UTC)

    def append(self, stream: str, *events: Event) -> None:
        for event in events:
            self._time += timedelta(seconds=1)
            new = encode(event, f"{stream}/{self._time}")
            self.log.append([Append(stream, [new], ANY, self._time)])

    def catch_up(self) -> None:
        source = self.log.source(["account", "owner"])
        catch_up(self.engine, self.wakeup, [Pipeline(self.projection.name, source, self.handler)], timeout=20)

    def explain(self, key: str, **options: Any) -> Explanation:
        with reading(self.engine) as connection:
            return explain(self.projection, key, self.log.source(["account", "owner"]), connection, **options)


@pytest.fixture
def bench(engine: Engine) -> Iterator[Bench]:
    made = Bench(engine)
    yield made
    made.wakeup.close()


def test_each_event_shows_the_columns_it_changed(bench: Bench) -> None:
    bench.append("account-a", Opened(owner="ann"), Tagged(tag="new"), Tagged(tag="big"))
    bench.append("account-b", Opened(owner="bob"))
    bench.catch_up()
    told = bench.explain("a")
    assert [(step.handler, dict(step.changes)) for step in told.steps] == [
        ("opened", {"id": (None, "a"), "owner": (None, "ann"), "tags": (None, [])}),
        ("tagged", {"tags": ([], ["new"])}),
        ("tagged", {"tags": (["new"], ["new", "big"])}),
    ]
    assert told.row == {"id": "a", "owner": "ann", "tags": ["new", "big"]}
    assert told.same


def test_events_that_chose_the_row_by_a_where_are_among_them(bench: Bench) -> None:
    bench.append("account-a", Opened(owner="ann"))
    bench.append("owner-x", OwnerMoved(old="bob", new="eve"), OwnerMoved(old="ann", new="kim"))
    told = bench.explain("a")
    assert [(step.handler, step.changes["owner"]) for step in told.steps] == [
        ("opened", (None, "ann")),
        ("moved", ("ann", "kim")),
    ]


def test_a_deleted_row_ends_in_none(bench: Bench) -> None:
    bench.append("account-a", Opened(owner="ann"), Closed())
    bench.catch_up()
    told = bench.explain("a")
    assert told.steps[-1].deleted
    assert told.steps[-1].changes["owner"] == ("ann", None)
    assert told.row is None
    assert told.same


def test_a_row_that_was_tampered_with_is_not_the_same(bench: Bench) -> None:
    bench.append("account-a", Opened(owner="ann"))
    bench.catch_up()
    with writing(bench.engine) as connection:
        connection.exec_driver_sql(f"UPDATE {bench.handler.tables.physical_name(connection)} SET owner = 'mallory'")
    told = bench.explain("a")
    assert not told.same
    assert told.stored is not None
    assert told.stored["owner"] == "mallory"


def test_an_event_whose_handler_fails_changes_nothing_and_says_so(bench: Bench) -> None:
    bench.append("account-a", Opened(owner="ann"), Tagged(tag="broken"))
    told = bench.explain("a")
    assert told.steps[1].error == "ValueError: no such tag"
    assert told.row == {"id": "a", "owner": "ann", "tags": []}


def test_a_projection_by_stream_reads_the_one_stream(engine: Engine, statements: Any) -> None:
    by_stream = Projection("explain-by-stream", into=Account)
    by_stream.on(Opened)(opened)
    bench = Bench(engine, by_stream)
    for n in range(5):
        bench.append(f"account-{n}", Opened(owner=str(n)))
    bench.catch_up()
    statements()
    told = bench.explain("3", log=bench.log)
    assert told.same
    assert [step.record.headers["ce_subject"] for step in told.steps] == ["account-3"]
    assert not [one for one in statements() if "hw_event" in one and '"offset" >=' in one]
    bench.wakeup.close()


def test_a_bug_mended_and_retried_leaves_the_row_as_if_it_never_failed(engine: Engine) -> None:
    broken = {"yes"}
    flaky = Projection("explain-flaky", into=Account)
    flaky.on(Opened)(opened)

    @flaky.on(Tagged)
    def tag(row: Account, event: Tagged) -> None:
        if event.tag in broken:
            raise ValueError(event.tag)
        row.tags.append(event.tag)

    bench = Bench(engine, flaky)
    bench.append("account-a", Opened(owner="ann"), Tagged(tag="yes"), Tagged(tag="later"))
    bench.append("account-b", Opened(owner="bob"), Tagged(tag="other"))
    bench.catch_up()
    assert bench.explain("a").stored == {"id": "a", "owner": "ann", "tags": []}
    assert bench.explain("b").stored == {"id": "b", "owner": "bob", "tags": ["other"]}
    broken.clear()
    DeadLetters(engine, bench.wakeup).retry(pipeline="explain-flaky")
    bench.catch_up()
    told = bench.explain("a")
    assert told.same
    assert told.row == {"id": "a", "owner": "ann", "tags": ["yes", "later"]}
    bench.wakeup.close()


def test_a_rebuild_folds_the_same_rows_again(bench: Bench) -> None:
    bench.append("account-a", Opened(owner="ann"), Tagged(tag="x"))
    bench.append("owner-x", OwnerMoved(old="ann", new="kim"))
    bench.append("account-b", Opened(owner="bob"), Closed())
    bench.catch_up()
    before = bench.explain("a").stored
    rebuild(bench.engine, bench.wakeup, Pipeline("explain-accounts", bench.log.source(["account"]), bench.handler))
    assert bench.explain("a").stored is None
    bench.catch_up()
    assert bench.explain("a").stored == before is not None
    assert bench.explain("b").stored is None
