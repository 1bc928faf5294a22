"""However the log is cut into batches and however little is held, the rows are those of the pure fold."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, Numeric
from sqlalchemy.orm import Mapped, mapped_column

from eventstore.model.codec import encode, event_id
from eventstore.model.message import Event, Meta
from eventstore.model.record import Record
from eventstore.sql.engine import reading, writing
from eventstore.sql.rows import to_record
from projections import DELETE, Delete, Projection, ProjectionHandler, ReadModel, fold, get


class Set(Event, name="cut-set"):
    group: int
    amount: Decimal


class Grown(Event, name="cut-grown"): ...


class Dropped(Event, name="cut-dropped"): ...


class GroupMoved(Event, name="cut-group-moved"):
    old: int
    new: int


class GroupDropped(Event, name="cut-group-dropped"):
    group: int


class Marked(Event, name="cut-marked"):
    things: list[str]
    mark: str


class Thing(ReadModel):
    __tablename__ = "cut_thing"
    key: Mapped[str] = mapped_column(primary_key=True)
    group: Mapped[int] = mapped_column(default=0)
    amount: Mapped[Decimal] = mapped_column(Numeric(30, 2), default=0)
    exact: Mapped[Decimal] = mapped_column(default=0)
    marks: Mapped[list[str]] = mapped_column(default=[])
    at: Mapped[datetime | None]


things = Projection("cut-things", into=Thing)


@things.on(Set)
def set_(row: Thing, event: Set) -> None:
    row.group, row.amount, row.exact, row.at = event.group, event.amount, event.amount, event.meta.at


@things.on(Grown)
def grown(row: Thing, event: Grown) -> None:
    # As text: 1.5 and 1.50 must not differ between a row kept in memory and one read again.
    row.amount, row.marks = row.amount + 1, [*row.marks, f"{row.amount} {row.exact}"]


@things.on(Dropped)
def dropped(row: Thing, event: Dropped) -> Delete:
    return DELETE


@things.on(GroupMoved, where=(Thing.group, lambda event: event.old))
def moved(row: Thing, event: GroupMoved) -> None:
    row.group = event.new


@things.on(GroupDropped, where=(Thing.group, lambda event: event.group))
def group_dropped(row: Thing, event: GroupDropped) -> Delete:
    return DELETE


@things.on(Marked, key=lambda event: event.things)
def marked(row: Thing, event: Marked) -> None:
    row.marks.append(event.mark)


AMOUNTS = [Decimal(text) for text in ("0", "-0", "0.0", "1", "1.0", "1.00", "1E+2", "100", "-3.5")]
KEYS = st.sampled_from(["a", "b", "c", "d"])
GROUPS = st.integers(0, 3)
EVENTS = st.one_of(
    st.builds(Set, group=GROUPS, amount=st.sampled_from(AMOUNTS)),
    st.builds(Grown),
    st.builds(Dropped),
    st.builds(GroupMoved, old=GROUPS, new=GROUPS),
    st.builds(GroupDropped, group=GROUPS),
    st.builds(Marked, things=st.lists(KEYS, max_size=3), mark=st.text("xyz'\"%é", max_size=2)),
)


@pytest.fixture
def emptied(engine: Engine) -> Callable[[int], ProjectionHandler]:
    with writing(engine) as connection:
        ProjectionHandler(things).tables.create(connection)

    def empty(cache: int) -> ProjectionHandler:
        handler = ProjectionHandler(things, cache=cache)
        with writing(engine) as connection:
            handler.clear(connection)
        with reading(engine) as connection:
            handler.reset(connection)
        return handler

    return empty


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    log=st.lists(st.tuples(KEYS, EVENTS), max_size=25),
    cuts=st.lists(st.integers(1, 8), min_size=1, max_size=10),
    cache=st.sampled_from([0, 1, 2, 100]),
)
def test_rows_do_not_depend_on_how_the_log_is_cut(
    engine: Engine,
    emptied: Callable[[int], ProjectionHandler],
    log: list[tuple[str, Event]],
    cuts: list[int],
    cache: int,
) -> None:
    handler = emptied(cache)
    records = [_record(offset, key, event) for offset, (key, event) in enumerate(log)]
    expected = fold(things, *(handler.admit(record).content for record in records))
    turn, start = 0, 0
    while start < len(records):
        batch = records[start : start + cuts[turn % len(cuts)]]
        start, turn = start + len(batch), turn + 1
        with reading(engine) as connection:
            work = handler.prepare([handler.admit(record) for record in batch], connection)
        with writing(engine) as connection:
            work.write(connection)
        work.committed()
    with reading(engine) as connection:
        found = {key: get(things, key, connection) for key in ("a", "b", "c", "d")}
    assert {key: row for key, row in found.items() if row is not None} == expected


def _record(offset: int, key: str, event: Event) -> Record:
    new = encode(event, event_id(key, offset))
    place = ("cut.thing", 0, offset, f"thing-{key}", offset + 1)
    return to_record("cut", (*place, new.id, new.type, new.schema, Meta().at, new.data.decode(), "{}"))
