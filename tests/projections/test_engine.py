"""The engine on both databases: what it reads, writes, holds, and says of a record's keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Mapped, Session, mapped_column

from eventstore.errors import IncompleteRow, Undecodable
from eventstore.model.message import Event
from eventstore.model.record import Record
from eventstore.sql.engine import reading
from projections import DELETE, Delete, Projection, ProjectionHandler, ReadModel, fold, get


class Placed(Event, name="engine-placed"):
    customer: int = 7


class Shipped(Event, name="engine-shipped"):
    at: datetime


class Cancelled(Event, name="engine-cancelled"): ...


class Merged(Event, name="engine-merged"):
    old: int
    new: int


class Swapped(Event, name="engine-swapped"):
    orders: list[str]


class Priced(Event, name="engine-priced"):
    fee: Decimal


class Ignored(Event, name="engine-ignored"): ...


class Order(ReadModel):
    __tablename__ = "engine_order"
    order_id: Mapped[str] = mapped_column(primary_key=True)
    customer: Mapped[int]
    shipped_at: Mapped[datetime | None]
    fee: Mapped[Decimal] = mapped_column(default=Decimal("0.10"))
    seen: Mapped[list[str]] = mapped_column(default=[])
    code: Mapped[int | None] = mapped_column(unique=True)


orders = Projection("engine-orders", into=Order)


@orders.on(Placed)
def placed(row: Order, event: Placed) -> None:
    row.customer = event.customer


@orders.on(Shipped)
def shipped(row: Order, event: Shipped) -> None:
    row.shipped_at = event.at
    row.seen.append("shipped")


@orders.on(Priced)
def priced(row: Order, event: Priced) -> None:
    row.fee = event.fee


@orders.on(Cancelled)
def cancelled(row: Order, event: Cancelled) -> Delete:
    return DELETE


@orders.on(Merged, where=(Order.customer, lambda event: event.old))
def merged(row: Order, event: Merged) -> None:
    row.customer = event.new


@orders.on(Swapped, key=lambda event: event.orders)
def swapped(row: Order, event: Swapped) -> None:
    row.seen.append("swapped")


class Tally(ReadModel):
    __tablename__ = "engine_tally"
    order_id: Mapped[str] = mapped_column(primary_key=True)
    turn: Mapped[int] = mapped_column(primary_key=True)
    customer: Mapped[int | None]


tally = Projection("engine-tally", into=Tally)


@tally.on(
    Shipped,
    key=lambda event: (event.meta.key, event.at.hour),
    lookup=(Order, lambda event: event.meta.key),
)
def counted(row: Tally, event: Shipped, order: Order | None) -> None:
    row.customer = None if order is None else order.customer


AT = datetime(2026, 1, 1, 9, 30, tzinfo=UTC)


@pytest.fixture
def handler(drive: Any) -> ProjectionHandler:
    made = ProjectionHandler(orders)
    drive.start(made)
    return made


@pytest.fixture
def stored(engine: Engine) -> Callable[..., dict[Any, Any]]:
    def rows(*names: str) -> dict[Any, Any]:
        with Session(engine) as session:
            found = session.scalars(select(Order)).all()
            return {row.order_id: tuple(getattr(row, name) for name in names) for row in found}

    return rows


def test_the_view_is_queried_with_the_model(drive: Any, record: Any, handler: Any, stored: Any) -> None:
    drive(handler, record("order-a", Placed(customer=3), Shipped(at=AT)))
    assert stored("customer", "shipped_at", "fee", "seen") == {"a": (3, AT, Decimal("0.10"), ["shipped"])}


def test_a_batch_reads_once_and_writes_each_kind_once(
    drive: Any, record: Any, handler: Any, statements: Callable[[], list[str]], engine: Engine
) -> None:
    drive(handler, [*record("order-a", Placed()), *record("order-b", Placed()), *record("order-c", Placed())])
    with reading(engine) as connection:
        handler.reset(connection)
    more = [*record("order-a", Shipped(at=AT)), *record("order-b", Cancelled()), *record("order-d", Placed())]
    statements()
    drive(handler, [*more, *record("order-c", Placed(customer=8), Placed(customer=9))])
    kinds = [statement.split()[0] for statement in statements()]
    assert kinds[:2] == ["SELECT", "DELETE"]
    assert kinds.count("SELECT") == kinds.count("DELETE") == 1
    assert kinds.count("INSERT") == len(kinds) - 2 <= 2


def test_a_table_that_was_empty_and_is_held_whole_is_not_read(
    drive: Any, record: Any, handler: Any, statements: Callable[[], list[str]]
) -> None:
    records = [*record("order-a", Placed()), *record("order-a", Shipped(at=AT)), *record("order-b", Placed())]
    statements()
    drive(handler, records, size=1)
    assert not [statement for statement in statements() if statement.startswith("SELECT")]


def test_rows_that_left_memory_are_read_again(drive: Any, record: Any, stored: Any) -> None:
    handler = ProjectionHandler(orders, cache=1)
    drive.start(handler)
    drive(handler, [*record("order-a", Placed()), *record("order-b", Placed())], size=1)
    drive(handler, record("order-a", Shipped(at=AT), Shipped(at=AT)), size=1)
    assert stored("seen") == {"a": (["shipped", "shipped"],), "b": ([],)}


def test_a_row_that_did_not_change_is_not_written(
    drive: Any, record: Any, handler: Any, statements: Callable[[], list[str]]
) -> None:
    drive(handler, record("order-a", Placed()))
    statements()
    drive(handler, record("order-a", Placed()))
    assert not [statement for statement in statements() if not statement.startswith("SELECT")]


def test_a_number_that_is_equal_and_written_otherwise_is_written(
    drive: Any, record: Any, handler: Any, stored: Any
) -> None:
    drive(handler, record("order-a", Placed(), Priced(fee=Decimal("1.0")), Priced(fee=Decimal("1.00"))), size=1)
    ((fee,),) = stored("fee").values()
    assert str(fee) == "1.00"


def test_a_row_made_and_deleted_in_one_batch_leaves_nothing(
    drive: Any, record: Any, handler: Any, statements: Callable[[], list[str]], stored: Any
) -> None:
    statements()
    drive(handler, record("order-a", Placed(), Cancelled()))
    assert statements() == []
    assert stored() == {}


def test_a_row_deleted_and_made_again_in_one_batch_is_the_new_one(
    drive: Any, record: Any, handler: Any, stored: Any
) -> None:
    drive(handler, record("order-a", Placed(), Shipped(at=AT)))
    drive(handler, record("order-a", Cancelled(), Placed(customer=2)))
    assert stored("customer", "shipped_at", "seen") == {"a": (2, None, [])}


def test_where_reaches_stored_rows_and_those_changed_earlier_in_the_batch(
    drive: Any, record: Any, handler: Any, stored: Any
) -> None:
    drive(handler, [*record("order-a", Placed(customer=1)), *record("order-b", Placed(customer=2))])
    batch = [*record("order-b", Placed(customer=1)), *record("order-c", Placed(customer=1))]
    drive(handler, [*batch, *record("customer-x", Merged(old=1, new=5), Merged(old=2, new=6))])
    assert stored("customer") == {"a": (5,), "b": (5,), "c": (5,)}


def test_a_lookup_shows_the_other_read_models_committed_row(drive: Any, record: Any, handler: Any) -> None:
    counting = ProjectionHandler(tally)
    drive.start(counting)
    drive(handler, record("order-a", Placed(customer=4)))
    drive(counting, [*record("order-a", Shipped(at=AT)), *record("order-z", Shipped(at=AT))])
    assert sorted(drive.query("SELECT order_id, turn, customer FROM engine_tally")) == [("a", 9, 4), ("z", 9, None)]


def test_a_failed_batch_leaves_the_rows_held_as_they_were(drive: Any, record: Any, handler: Any, stored: Any) -> None:
    drive(handler, record("order-a", Placed()))
    with pytest.raises(IncompleteRow):
        drive(handler, record("order-a", Shipped(at=AT)) + record("order-q", Shipped(at=AT)))
    drive(handler, record("order-a", Shipped(at=AT)))
    assert stored("seen") == {"a": (["shipped"],)}


def test_what_is_not_committed_is_not_held(drive: Any, record: Any, handler: Any, engine: Engine, stored: Any) -> None:
    items = [handler.admit(one) for one in record("order-a", Placed())]
    with reading(engine) as connection:
        work = handler.prepare(items, connection)
    with engine.connect() as connection:
        work.write(connection)
        connection.rollback()
    drive(handler, record("order-b", Placed(), Merged(old=7, new=8)))
    assert stored("customer") == {"b": (8,)}


def test_a_value_freed_by_a_deleted_row_may_be_taken_by_another(drive: Any, record: Any, stored: Any) -> None:
    coded = Projection("engine-coded", into=Order)
    coded.on(Placed)(lambda row, event: _set(row, customer=1, code=event.customer))
    coded.on(Cancelled)(lambda row, event: DELETE)
    handler = ProjectionHandler(coded)
    drive.start(handler)
    drive(handler, record("order-a", Placed(customer=5)))
    drive(handler, [*record("order-b", Placed(customer=5)), *record("order-a", Cancelled())])
    assert stored("code") == {"b": (5,)}


def _set(row: Any, **values: Any) -> None:
    for name, value in values.items():
        setattr(row, name, value)


def test_a_constraint_of_the_model_is_the_databases(drive: Any, record: Any, stored: Any) -> None:
    coded = Projection("engine-coded", into=Order)
    coded.on(Placed)(lambda row, event: _set(row, customer=1, code=5))
    handler = ProjectionHandler(coded)
    drive.start(handler)
    with pytest.raises(DBAPIError):
        drive(handler, [*record("order-a", Placed()), *record("order-b", Placed())])
    assert stored() == {}


def test_many_rows_go_in_and_come_back_in_portions(drive: Any, record: Any, engine: Engine) -> None:
    handler = ProjectionHandler(orders, cache=0)
    drive.start(handler)
    names = [f"order-{n}" for n in range(5_100)]
    drive(handler, [one for name in names for one in record(name, Placed())])
    drive(handler, [one for name in names for one in record(name, Merged(old=0, new=0), Shipped(at=AT))])
    assert drive.query("SELECT count(*), count(shipped_at) FROM engine_order") == [(5_100, 5_100)]


def test_get_gives_the_row_as_handlers_see_it(drive: Any, record: Any, handler: Any, engine: Engine) -> None:
    records = record("order-a", Placed(), Shipped(at=AT))
    drive(handler, records)
    events = [handler.admit(one).content for one in records]
    with reading(engine) as connection:
        assert get(orders, "a", connection) == fold(orders, *events)["a"]
        assert get(orders, "b", connection) is None


# -------------------------------------------------------------------- admitting, and blocking keys


def test_an_event_without_a_handler_is_skipped_without_being_decoded(record: Any) -> None:
    (ignored,) = record("order-a", Ignored())
    assert ProjectionHandler(orders).admit(ignored._replace(value=b"{")) is None


def test_an_event_no_class_is_known_for_is_skipped(record: Any) -> None:
    (known,) = record("order-a", Placed())
    headers = {**known.headers, "ce_type": "engine-of-another-program"}
    assert ProjectionHandler(orders).admit(known._replace(headers=headers)) is None


def test_an_event_that_cannot_be_decoded_raises(record: Any) -> None:
    (known,) = record("order-a", Placed())
    with pytest.raises(Undecodable):
        ProjectionHandler(orders).admit(known._replace(value=b"{"))


@pytest.fixture
def keys(handler: Any, engine: Engine) -> Iterator[Callable[[Record], Any]]:
    with reading(engine) as connection:
        yield lambda one: list(handler.keys(one, handler.admit(one), connection))


def test_the_blocking_keys_are_the_stream_and_each_row(drive: Any, record: Any, handler: Any, keys: Any) -> None:
    assert keys(record("order-a", Placed())[0]) == ["stream:order-a", "row:a"]
    assert keys(record("order-a", Swapped(orders=["b", "c"]))[0]) == ["stream:order-a", "row:b", "row:c"]


def test_rows_that_a_where_would_choose_are_blocking_keys(drive: Any, record: Any, handler: Any, keys: Any) -> None:
    drive(handler, record("order-a", Placed(customer=1)))
    assert keys(record("customer-1", Merged(old=1, new=2))[0]) == ["stream:customer-1", "row:a"]


def test_a_record_that_was_not_decoded_waits_by_its_stream(record: Any, handler: Any, engine: Engine) -> None:
    (one,) = record("order-a", Placed())
    with reading(engine) as connection:
        assert handler.keys(one, None, connection) == ["stream:order-a"]
        assert handler.keys(one._replace(headers={}), None, connection) == []


def test_a_key_function_that_raises_leaves_the_stream(record: Any, drive: Any, engine: Engine) -> None:
    broken = Projection("engine-broken", into=Tally)
    broken.on(Placed, key=lambda event: 1 / 0)(lambda row, event: None)
    handler = ProjectionHandler(broken)
    (one,) = record("order-a", Placed())
    with reading(engine) as connection:
        assert handler.keys(one, handler.admit(one), connection) == ["stream:order-a"]


def test_workers_may_share_only_what_belongs_to_the_streams_of_one_category() -> None:
    by_stream = Projection("engine-by-stream", into=Order)
    by_stream.on(Placed)(placed)
    assert ProjectionHandler(by_stream).shared
    assert not ProjectionHandler(by_stream, categories=2).shared
    assert not ProjectionHandler(orders).shared
