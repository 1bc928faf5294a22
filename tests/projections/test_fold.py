"""The pure fold: events in, rows out, without a database."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import JSON, Column, Integer, MetaData, Numeric, Table
from sqlalchemy.orm import Mapped, mapped_column

from eventstore.errors import DeclarationError, HandlingError, IncompleteRow
from eventstore.model.message import Event, Meta, stamp
from projections import DELETE, Delete, Projection, ReadModel, SqlProjection, fold


class Placed(Event, name="fold-placed"):
    customer: int = 7
    total: Decimal = Decimal(10)


class Paid(Event, name="fold-paid"): ...


class Cancelled(Event, name="fold-cancelled"): ...


class Merged(Event, name="fold-merged"):
    old: int
    new: int


class Shared(Event, name="fold-shared"):
    orders: list[str]


class Odd(Event, name="fold-odd"): ...


class Summary(ReadModel):
    __tablename__ = "fold_summary"
    order_id: Mapped[str] = mapped_column(primary_key=True)
    customer: Mapped[int]
    status: Mapped[str]
    total: Mapped[Decimal]
    note: Mapped[str | None]
    marks: Mapped[list[str]] = mapped_column(default=[])


summary = Projection("fold-summary", into=Summary)


@summary.on(Placed)
def placed(row: Summary, event: Placed) -> None:
    row.customer, row.total, row.status = event.customer, event.total, "placed"


@summary.on(Paid)
def paid(row: Summary, event: Paid) -> None:
    row.status = "paid"


@summary.on(Cancelled)
def cancelled(row: Summary, event: Cancelled) -> Delete:
    return DELETE


@summary.on(Merged, where=(Summary.customer, lambda event: event.old))
def merged(row: Summary, event: Merged) -> None:
    row.customer = event.new


@summary.on(Shared, key=lambda event: event.orders)
def shared(row: Summary, event: Shared) -> None:
    row.marks.append("shared")


def of(stream: str, event: Any) -> Any:
    return stamp(event, Meta(stream))


def test_the_row_is_that_of_the_streams_key() -> None:
    rows = fold(summary, of("order-a", Placed()), of("order-b", Placed()), of("order-b", Paid()))
    assert {key: row.status for key, row in rows.items()} == {"a": "placed", "b": "paid"}


def test_delete_removes_the_row_and_a_later_event_begins_a_fresh_one() -> None:
    events = [of("order-a", Placed(customer=1)), of("order-a", Paid()), of("order-a", Cancelled())]
    assert fold(summary, *events) == {}
    (row,) = fold(summary, *events, of("order-a", Placed(customer=2))).values()
    assert (row.customer, row.status) == (2, "placed")


def test_where_reaches_every_row_whose_column_has_the_value_now() -> None:
    events = [of("order-a", Placed(customer=1)), of("order-b", Placed(customer=2)), of("order-c", Placed(customer=1))]
    rows = fold(summary, *events, Merged(old=1, new=2), Merged(old=2, new=3))
    assert [row.customer for row in rows.values()] == [3, 3, 3]


def test_a_list_of_keys_folds_the_event_into_each_row_once() -> None:
    placed_orders = [of("order-a", Placed()), of("order-b", Placed())]
    rows = fold(summary, *placed_orders, Shared(orders=["a", "b", "a"]))
    assert [row.marks for row in rows.values()] == [["shared"], ["shared"]]


def test_a_default_that_can_be_changed_in_place_is_each_rows_own() -> None:
    events = [of("order-a", Placed()), Shared(orders=["a"]), of("order-b", Placed())]
    assert fold(summary, *events)["b"].marks == []


def test_given_rows_are_folded_on_and_left_as_they_are() -> None:
    given = {"a": Summary(order_id="a", customer=1, status="placed", total=Decimal(1), marks=["x"])}
    rows = fold(summary, of("order-a", Paid()), Shared(orders=["a"]), rows=given)
    assert (rows["a"].status, rows["a"].marks) == ("paid", ["x", "shared"])
    assert (given["a"].status, given["a"].marks) == ("placed", ["x"])


def test_an_unset_column_that_may_be_null_is_none_afterwards() -> None:
    assert fold(summary, of("order-a", Placed()))["a"].note is None


def test_a_first_event_that_leaves_required_columns_unset_names_them() -> None:
    with pytest.raises(IncompleteRow, match="has no customer, status, total"):
        fold(summary, Shared(orders=["a"]))


def test_an_event_is_handled_by_its_exact_class() -> None:
    class PlacedTwice(Placed, name="fold-placed-twice"): ...

    assert fold(summary, PlacedTwice()) == {}


def _odd(handler: Any, **options: Any) -> Any:
    projection = Projection("odd", into=Summary)
    projection.on(Odd, **options)(handler)
    given = Summary(order_id="1", customer=1, status="", total=Decimal(1), marks=[])
    return fold(projection, Odd(), rows={"1": given})["1"]


def test_anything_returned_but_delete_is_an_error() -> None:
    with pytest.raises(HandlingError, match=r"returned .* for Odd"):
        _odd(lambda row, event: row)


def test_changing_the_primary_key_is_an_error() -> None:
    with pytest.raises(HandlingError, match="changed the primary key of a row from '1' to '2'"):
        _odd(lambda row, event: setattr(row, "order_id", "2"))


def test_none_in_a_required_column_is_an_error() -> None:
    with pytest.raises(IncompleteRow, match=r"Summary\.status was set to None"):
        _odd(lambda row, event: setattr(row, "status", None))


def test_a_value_of_another_class_is_refused_and_says_what_the_column_holds() -> None:
    with pytest.raises(HandlingError, match=r"Summary\.customer was set to 'x', a str\n  why: the column holds a int"):
        _odd(lambda row, event: setattr(row, "customer", "x"))


def test_values_are_at_once_what_they_will_be_when_read_again() -> None:
    class Word(StrEnum):
        YES = "yes"

    def handler(row: Any, event: Any) -> None:
        row.total, row.status, row.marks, row.customer = 3, Word.YES, ("x",), True

    row = _odd(handler)
    assert [type(value) for value in (row.total, row.status, row.marks, row.customer)] == [Decimal, str, list, int]


def test_a_key_of_none_is_an_error() -> None:
    with pytest.raises(HandlingError, match="None is no key of a Summary"):
        _odd(lambda row, event: None, key=lambda event: None)


class Line(ReadModel):
    __tablename__ = "fold_line"
    order_id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class LineAdded(Event, name="fold-line-added"):
    number: int
    customer: int | None = 7


lines = Projection("fold-lines", into=Line)


@lines.on(
    LineAdded,
    key=lambda event: (event.meta.key, event.number),
    lookup=(Summary, lambda event: None if event.customer is None else str(event.customer)),
)
def added(row: Line, event: LineAdded, order: Summary | None) -> None:
    row.name = "unknown" if order is None else order.status


def test_a_tuple_is_one_key_of_several_columns_and_a_lookup_comes_third() -> None:
    known = Summary(order_id="7", customer=1, status="placed", total=Decimal(1))
    events = [LineAdded(number=1), LineAdded(number=2, customer=8), LineAdded(number=3, customer=None)]
    rows = fold(lines, *events, lookups={Summary: {"7": known}})
    assert {key: row.name for key, row in rows.items()} == {
        ("1", 1): "placed",
        ("1", 2): "unknown",
        ("1", 3): "unknown",
    }


class Numbered(ReadModel):
    __tablename__ = "fold_numbered"
    id: Mapped[int] = mapped_column(primary_key=True)
    price: Mapped[Decimal | None] = mapped_column(Numeric(6, 2))
    at: Mapped[datetime | None]
    measured: Mapped[Any | None] = mapped_column(JSON)


def _numbered(handler: Any, stream: str = "thing-42") -> dict[Any, Any]:
    projection = Projection("numbered", into=Numbered)
    projection.on(Odd)(handler)
    return fold(projection, of(stream, Odd()))


def test_a_streams_key_becomes_the_integer_that_the_primary_key_is() -> None:
    assert list(_numbered(lambda row, event: None)) == [42]


def test_a_streams_key_that_is_no_integer_says_so() -> None:
    with pytest.raises(HandlingError, match="the stream's key 'forty' is no id"):
        _numbered(lambda row, event: None, "thing-forty")


def test_a_price_has_the_digits_of_its_column_at_once() -> None:
    row = _numbered(lambda row, event: setattr(row, "price", Decimal("1.5")))[42]
    assert str(row.price) == "1.50"


def test_a_price_that_would_be_rounded_is_refused() -> None:
    with pytest.raises(HandlingError, match=r"Numbered\.price: 1\.555 does not fit"):
        _numbered(lambda row, event: setattr(row, "price", Decimal("1.555")))


def test_a_time_is_in_utc_and_one_without_a_zone_is_refused() -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    assert _numbered(lambda row, event: setattr(row, "at", noon))[42].at.tzinfo is UTC
    with pytest.raises(HandlingError, match="which instant"):
        _numbered(lambda row, event: setattr(row, "at", datetime(2026, 1, 1)))


@dataclass
class Sample:
    value: float


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), [1.0, -float("inf")], {"a": (None, {"b": float("nan")})}, Sample(float("nan"))],
    ids=repr,
)
def test_a_number_that_json_has_not_is_refused_and_not_kept_as_null(value: object) -> None:
    refused = rf"row 42: Numbered\.measured was set to {re.escape(repr(value))}, .*\n  why: .*it has no (nan|-?inf)"
    with pytest.raises(HandlingError, match=refused):
        _numbered(lambda row, event: setattr(row, "measured", value))


def test_a_null_within_json_is_kept() -> None:
    row = _numbered(lambda row, event: setattr(row, "measured", {"a": [None, 1.5, "null"]}))[42]
    assert row.measured == {"a": [None, 1.5, "null"]}


def test_a_uuid_may_be_a_primary_key() -> None:
    class Identified(ReadModel):
        __tablename__ = "fold_identified"
        id: Mapped[UUID] = mapped_column(primary_key=True)

    projection = Projection("identified", into=Identified)
    projection.on(Odd)(lambda row, event: None)
    key = UUID(int=5)
    assert list(fold(projection, of(f"thing-{key}", Odd()))) == [key]


# -------------------------------------------------------------------- declarations


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"key": lambda event: 1, "where": (Summary.customer, lambda event: 1)}, "both key= and where="),
        ({"where": (Line.name, lambda event: 1)}, "cannot choose rows by"),
        ({"where": (Summary.marks, lambda event: 1)}, "a JSON column has no equality"),
        ({"where": Summary.customer}, "cannot choose rows by"),
        ({"lookup": (Summary, lambda event: 1)}, "looks up its own rows"),
    ],
)
def test_a_handler_that_cannot_work_is_refused_when_declared(options: Any, says: str) -> None:
    with pytest.raises(DeclarationError, match=says):
        Projection("refused", into=Summary).on(Odd, **options)(lambda row, event: None)


DECLARING = [
    Projection("declaring", into=Summary),
    SqlProjection("declaring", tables=[Table("declaring", MetaData(), Column("id", Integer, primary_key=True))]),
]


@pytest.mark.parametrize("projection", DECLARING, ids=["rows", "sql"])
def test_what_is_no_event_is_refused_where_it_is_written(projection: Any) -> None:
    def changed() -> None: ...

    with pytest.raises(DeclarationError, match="above changed does not say of which event"):
        projection.on(changed)
    with pytest.raises(DeclarationError, match="cannot fold Summary"):
        projection.on(Summary)


@pytest.mark.parametrize("projection", DECLARING, ids=["rows", "sql"])
def test_an_async_handler_is_refused(projection: Any) -> None:
    async def changed(row: object, event: Odd) -> None: ...

    with pytest.raises(DeclarationError, match="handler changed is async"):
        projection.on(Odd)(changed)


def test_two_handlers_of_one_event_for_the_same_row_are_refused() -> None:
    projection = Projection("twice", into=Summary)
    projection.on(Odd)(lambda row, event: None)
    with pytest.raises(DeclarationError, match="folds Odd twice"):
        projection.on(Odd)(lambda row, event: None)


def test_a_primary_key_of_two_columns_needs_a_key_function() -> None:
    with pytest.raises(DeclarationError, match="needs key= for Odd"):
        Projection("lines", into=Line).on(Odd)(lambda row, event: None)


def test_a_name_that_could_not_be_typed_is_refused() -> None:
    with pytest.raises(DeclarationError, match="is not a name for a projection"):
        Projection("no name", into=Summary)
