"""A bug in a handler, through the whole application: what it holds up, and what comes out after the mend."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from sqlalchemy.orm import Mapped, mapped_column

from headwater import DELETE, Aggregate, App, Delete, Event, Projection, ReadModel, applies


class Moved(Event, name="test-moved"):
    shelf: str
    by: int


class Cleared(Event, name="test-cleared"):
    shelf: str


class Warehouse(Aggregate, category="warehouse"):
    @applies(Moved, Cleared)
    def anything(self, event: Moved | Cleared) -> None: ...


class Shelf(ReadModel):
    __tablename__ = "shelf"
    name: Mapped[str] = mapped_column(primary_key=True)
    history: Mapped[str] = mapped_column(default="")


shelves = Projection("shelves", into=Shelf)
MENDED = "TEST_HANDLER_MENDED"


@shelves.on(Moved, key=lambda event: event.shelf)
def moved(row: Shelf, event: Moved) -> None:
    if event.by < 0 and MENDED not in os.environ:
        raise ZeroDivisionError("a bug with negative numbers")
    row.history += f" {event.by}"


@shelves.on(Cleared, where=(Shelf.name, lambda event: event.shelf))
def cleared(row: Shelf, event: Cleared) -> Delete | None:
    if MENDED not in os.environ:
        return DELETE
    row.history += " cleared"
    return None


@pytest.fixture
def app(database_url: str) -> Iterator[App]:
    with App("test", Warehouse, shelves, database=database_url, partitions=3) as made:
        yield made


def history(app: App, shelf: str) -> str | None:
    row = app.get(shelves, shelf)
    return None if row is None else row.history


def test_a_record_of_another_stream_waits_behind_one_that_touches_its_row(app: App) -> None:
    """Else it is folded into the row before the parked one, which then comes out in another order."""
    app.append({"warehouse-a": [Moved(shelf="one", by=1)]})
    app.append({"warehouse-b": [Moved(shelf="one", by=-2)]})
    app.catch_up()
    app.append({"warehouse-c": [Moved(shelf="one", by=3), Moved(shelf="two", by=4)]})
    app.append({"warehouse-d": [Moved(shelf="three", by=5)]})
    app.catch_up()
    assert [(letter.key, str(letter.state)) for letter in app.dead_letters.list()] == [
        ("stream:warehouse-b", "parked"),
        ("stream:warehouse-c", "blocked"),
        ("stream:warehouse-c", "blocked"),
    ]
    assert (history(app, "one"), history(app, "two"), history(app, "three")) == (" 1", None, " 5")


def test_an_event_for_many_rows_waits_behind_any_of_them(app: App) -> None:
    app.append({"warehouse-a": [Moved(shelf="one", by=1)]})
    app.append({"warehouse-b": [Moved(shelf="one", by=-2)]})
    app.catch_up()
    app.append({"warehouse-c": [Cleared(shelf="one")]})
    app.catch_up()
    assert [str(letter.state) for letter in app.dead_letters.list()] == ["parked", "blocked"]
    assert history(app, "one") == " 1"


def test_after_the_mend_and_a_retry_rows_are_as_if_nothing_had_failed(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.append({"warehouse-a": [Moved(shelf="one", by=1), Moved(shelf="one", by=-2), Moved(shelf="one", by=3)]})
    app.append({"warehouse-b": [Moved(shelf="two", by=-4), Moved(shelf="three", by=5)]})
    app.append({"warehouse-a": [Cleared(shelf="one"), Moved(shelf="one", by=6)]})
    app.catch_up()
    monkeypatch.setenv(MENDED, "1")
    app.dead_letters.retry(pipeline="shelves")
    app.append({"warehouse-a": [Moved(shelf="one", by=7)]})
    app.catch_up()
    assert app.dead_letters.list() == []
    retried = {shelf: history(app, shelf) for shelf in ("one", "two", "three")}
    app.rebuild(shelves)
    assert {shelf: history(app, shelf) for shelf in retried} == retried
    assert retried == {"one": " 1 -2 3 cleared 6 7", "two": " -4", "three": " 5"}
