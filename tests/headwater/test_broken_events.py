"""Events that somebody changed in the database by hand: they fail by themselves, and everything else goes on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Mapped, mapped_column

from eventstore.errors import Undecodable
from eventstore.sql import schema
from eventstore.sql.engine import writing
from headwater import Aggregate, App, Event, Projection, ReadModel, applies


class Weighed(Event, name="test-weighed"):
    grams: int


class Parcel(Aggregate, category="parcel"):
    grams: int = 0

    @applies(Weighed)
    def weighed(self, event: Weighed) -> None:
        self.grams += event.grams


class Weight(ReadModel):
    __tablename__ = "weight"
    parcel: Mapped[str] = mapped_column(primary_key=True)
    grams: Mapped[int] = mapped_column(default=0)


weights = Projection("weights", into=Weight)


@weights.on(Weighed)
def weighed(row: Weight, event: Weighed) -> None:
    row.grams += event.grams


@pytest.fixture
def app(database_url: str) -> Iterator[App]:
    with App("test", Parcel, weights, database=database_url, partitions=1) as made:
        for key in "abc":
            made.append({f"parcel-{key}": [Weighed(grams=5)]})
        yield made


def change(app: App, **values: Any) -> None:
    """Change the stored event of the parcel b."""
    with writing(app.resources.engine) as connection:
        connection.execute(update(schema.event).where(schema.event.c.stream == "parcel-b").values(values))


BROKEN: list[dict[str, Any]] = [
    {"data": "{broken"},
    {"data": "[5]"},
    {"data": "[" * 100_000},
    {"headers": "{broken"},
    {"headers": "[]"},
    {"data_version": 99},
    {"data_version": -1},
]


@pytest.mark.parametrize("broken", BROKEN, ids=str)
def test_a_broken_event_is_a_dead_letter_and_others_go_on(app: App, broken: dict[str, Any]) -> None:
    change(app, **broken)
    app.catch_up()
    [letter] = app.dead_letters.list()
    assert (letter.key, letter.error_type) == ("stream:parcel-b", "Undecodable")
    assert [row and row.grams for row in (app.get(weights, key) for key in "abc")] == [5, None, 5]
    with pytest.raises(Undecodable):
        app.state(Parcel, "b")
    app.rebuild(weights)
    assert [one.key for one in app.dead_letters.list()] == ["stream:parcel-b"]


@pytest.mark.parametrize("broken", [{"at": "yesterday"}, {"data": b"\xff"}], ids=str)
def test_what_only_sqlite_lets_a_column_hold_fails_by_itself_too(sqlite_url: str, broken: dict[str, Any]) -> None:
    with App("test", Parcel, weights, database=sqlite_url, partitions=1) as app:
        for key in "abc":
            app.append({f"parcel-{key}": [Weighed(grams=5)]})
        [(column, value)] = broken.items()
        with writing(app.resources.engine) as connection:
            connection.exec_driver_sql(f"UPDATE hw_event SET {column} = ? WHERE stream = 'parcel-b'", (value,))
        app.catch_up()
        assert [letter.error_type for letter in app.dead_letters.list()] == ["Undecodable"]
        assert [row and row.grams for row in (app.get(weights, key) for key in "abc")] == [5, None, 5]
